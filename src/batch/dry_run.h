// What a prompt file would make, how long it would take and how much disk: without writing anything.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "batch/runner.h"

namespace t2i::batch {

struct Estimate {
    std::int64_t lines = 0, bad_lines = 0;
    std::int64_t pictures = 0;       // that the good lines ask this shard for
    std::int64_t done = 0;           // of them, by an earlier run
    std::int64_t failed_before = 0;  // of them, and not tried again
    std::int64_t left = 0;           // of them: there already, but made otherwise, and left
    std::int64_t taken = 0;          // of them: their files' names are somebody else's, or an earlier line's
    std::int64_t to_make = 0;
    std::int64_t changed = 0;          // among those, and there already from another request
    double seconds = 0;                // for those, from one picture that was timed; 0: nothing to make
    double disk_bytes = 0;             // for those, from the size of that picture
    double free_bytes = 0;             // where the output folder is, or would be
    std::vector<std::string> notes{};  // of how the file was read
    // The run would end with pictures missing, or left as they are.
    [[nodiscard]] bool has_failures() const { return bad_lines + failed_before + left + taken > 0; }
};

// reporter: told of each bad line, of each picture that would be left and of each that would fail. Throws Error as a run would:
// input (a file that cannot be read, an output folder that cannot be made), invalid_argument (check_same_form()).
Estimate dry_run(Engine& engine, const BatchOptions& options, Reporter& reporter);

}  // namespace t2i::batch
