// The commands of the program: one table, which main(), the help, the completions and the manual read.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace t2i::app {

// What a command is called with: the arguments after its name; or somebody who only looks at its flags.
struct CommandLine {
    std::vector<std::string> arguments;
    std::function<void(const CLI::App&)> describe{};  // set: parse() hands the flags over and the command does nothing else
};

// Returns the exit code; throws t2i::Error.
using Run = int (*)(const CommandLine& line);

struct Command {
    std::string_view name, summary;
    Run run;
    bool only_prints = false;  // to standard output: without one it is an error
};

// The first one is what a bare `t2i --prompt …` means.
[[nodiscard]] std::span<const Command> commands();
// Throws Error{invalid_argument}, with the nearest name if there is one.
[[nodiscard]] const Command& command_named(const std::string& name);
// A line each, for the help of the first one.
[[nodiscard]] std::string list_of_commands();

int run_generate(const CommandLine& line);
int run_batch(const CommandLine& line);
int run_inspect(const CommandLine& line);
int run_verify(const CommandLine& line);
int run_convert(const CommandLine& line);
int run_bench(const CommandLine& line);
int run_doctor(const CommandLine& line);
int run_help(const CommandLine& line);
int run_completion(const CommandLine& line);
int run_man(const CommandLine& line);

}  // namespace t2i::app
