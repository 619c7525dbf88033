// t2i man: the manual page, for man -l and for an installation.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/arguments.h"
#include "app/command.h"
#include "app/manual.h"

namespace t2i::app {

int run_man(const CommandLine& line) {
    CLI::App app{"Prints the manual page: t2i man | man -l -", "t2i man"};
    if (!parse(app, line)) return 0;
    std::fputs(manual_page(describe_commands()).c_str(), stdout);
    return 0;
}

}  // namespace t2i::app
