// The program: finds the command, runs it, and turns exceptions into one line and an exit code.
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "app/command.h"
#include "app/exit_code.h"
#include "app/standard_streams.h"
#include "core/escape.h"
#include "t2i/error.h"

namespace {

int run(std::vector<std::string> arguments) {
    using namespace t2i::app;
    if (arguments.empty() || arguments.front().starts_with("-")) return commands().front().run({std::move(arguments)});
    const Command& command = command_named(arguments.front());
    arguments.erase(arguments.begin());
    if (command.only_prints) need_output();
    return command.run({std::move(arguments)});
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
    if (!t2i::app::deliver_output()) {
        std::fprintf(stderr, "t2i: error: standard output cannot be written\n");
        if (code == 0) code = static_cast<int>(t2i::app::ExitCode::input);
    }
    return code;
}
