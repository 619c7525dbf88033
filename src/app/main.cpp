// The program: finds the command, runs it, and turns exceptions into one line and an exit code.
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "app/command.h"
#include "app/exit_code.h"
#include "app/standard_streams.h"
#include "core/escape.h"
#include "t2i/error.h"

namespace {

struct Row {
    std::string_view name;
    t2i::app::Run run;
};
// The first one is what a bare `t2i --prompt …` means.
constexpr std::array commands{Row{"generate", t2i::app::run_generate}, Row{"inspect", t2i::app::run_inspect},
                              Row{"bench", t2i::app::run_bench},       Row{"doctor", t2i::app::run_doctor},
                              Row{"batch", t2i::app::run_batch},       Row{"verify", t2i::app::run_verify}};

int run(std::vector<std::string> arguments) {
    if (!arguments.empty())
        for (const Row& row : commands)
            if (arguments.front() == row.name) {
                arguments.erase(arguments.begin());
                return row.run(arguments);
            }
    return commands.front().run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
    t2i::app::take_standard_streams();
    int code = static_cast<int>(t2i::app::ExitCode::internal);
    try {
        code = run({argv + 1, argv + argc});
    } catch (const t2i::Error& error) {
        std::fprintf(stderr, "t2i: error: %s\n", t2i::escaped(t2i::app::in_flags(error)).c_str());
        code = static_cast<int>(t2i::app::exit_code(error.code()));
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "t2i: error: out of memory\n");
        code = static_cast<int>(t2i::app::ExitCode::resource);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "t2i: internal error, please report it: %s\n", t2i::escaped(error.what()).c_str());
    }
    // Results that could not be delivered are an error too.
    if (!t2i::app::deliver_output() && code == 0) {
        std::fprintf(stderr, "t2i: error: standard output cannot be written\n");
        code = static_cast<int>(t2i::app::ExitCode::input);
    }
    return code;
}
