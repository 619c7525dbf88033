// t2i help [COMMAND]: what --help of the command prints.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/arguments.h"
#include "app/command.h"

namespace t2i::app {

int run_help(const CommandLine& line) {
    std::string name{commands().front().name};
    CLI::App app{"Prints the flags of a command.", "t2i help"};
    std::string names;
    for (const Command& command : commands()) names += (names.empty() ? "" : ",") + std::string(command.name);
    app.add_option("COMMAND", name, "its name (default: " + name + ", with a list of the commands)")
        ->type_name("{" + names + "}");
    if (!parse(app, line)) return 0;
    command_named(name).run(
        {.arguments = {}, .describe = [](const CLI::App& described) { std::fputs(described.help().c_str(), stdout); }});
    return 0;
}

}  // namespace t2i::app
