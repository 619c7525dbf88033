#include "app/command.h"

#include <algorithm>
#include <array>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr std::array table{
    Command{"generate", "a prompt to pictures; meant where no command is named", run_generate},
    Command{"batch", "a file of prompts to pictures; goes on where it stopped", run_batch},
    Command{"inspect", "what a picture, a model folder or a checkpoint holds", run_inspect, true},
    Command{"verify", "makes pictures again from their parameters and compares", run_verify},
    Command{"convert", "a model or a part of one in another type or container", run_convert},
    Command{"bench", "where the time goes, against the machine's peak", run_bench},
    Command{"doctor", "what this machine has, what runs where, what is missing", run_doctor, true},
    Command{"help", "the flags of a command", run_help, true},
    Command{"completion", "completions for bash, zsh or fish", run_completion, true},
    Command{"man", "the manual page", run_man, true},
};

}  // namespace

std::span<const Command> commands() {
    return table;
}

const Command& command_named(const std::string& name) {
    const auto found = std::ranges::find(table, name, &Command::name);
    if (found != table.end()) return *found;
    std::string hint = "; t2i help lists them";
    std::vector<std::string> names;
    for (const Command& command : table) names.emplace_back(command.name);
    if (name.find(' ') != std::string::npos) hint = "; a prompt stands behind -p";
    else if (const auto near = nearest_name(name, names); !near.empty()) hint = "; did you mean " + near + "?";
    throw Error(ErrorCode::invalid_argument, "unknown command " + in_quotes(name) + hint);
}

std::string list_of_commands() {
    std::string text;
    for (const Command& command : table) {
        const std::string name(command.name);
        text += "  " + name + std::string(12 - name.size(), ' ') + std::string(command.summary) + "\n";
    }
    return text;
}

}  // namespace t2i::app
