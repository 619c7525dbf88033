// What the commands take, read from their parsers: for everything that tells of it beside --help.
#pragma once

#include <string>
#include <vector>

namespace t2i::app {

struct FlagRow {
    std::vector<std::string> names;    // "-n", "--negative-prompt"; of a positional argument "FILE"
    std::string value;                 // what stands behind it: "TEXT", "FILE"; empty: nothing
    std::vector<std::string> choices;  // where only these do
    std::string description;
    std::string default_value;  // as text; may be empty
    bool is_path = false;       // the value is a file or a folder
    bool repeats = false;       // several values
    bool is_required = false;
};

struct CommandRow {
    std::string name, summary, description, footer;
    std::vector<FlagRow> flags, positionals;
};

// All of commands(), in their order.
[[nodiscard]] std::vector<CommandRow> describe_commands();

}  // namespace t2i::app
