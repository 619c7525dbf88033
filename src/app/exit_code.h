// From errors of the library to what a user of the program sees: exit codes, and flags where the library speaks of fields.
#pragma once

#include <span>
#include <string>

#include "t2i/error.h"

namespace t2i::app {

// What the command line promises.
enum class ExitCode {
    done = 0,
    internal = 1,
    usage = 2,     // a flag's name, syntax or range
    input = 3,     // anything that cannot be read or written, or is not what it should be
    resource = 4,  // device missing, out of memory
    partial = 5,   // some lines of a batch failed
    interrupted = 130,
};
[[nodiscard]] ExitCode exit_code(ErrorCode code);

struct ExitCodeRow {
    ExitCode code;
    const char* meaning;
};
[[nodiscard]] std::span<const ExitCodeRow> exit_codes();

// "--cfg-scale" of "cfg_scale"; a field that no flag sets stays as it is.
[[nodiscard]] std::string flag_of(const std::string& field);

// The line for the user: as what() has it, with the flag in the field's place.
[[nodiscard]] std::string in_flags(const Error& error);

}  // namespace t2i::app
