// Runs the t2i binary as a user would and collects what it printed.
#pragma once

#include <string>
#include <vector>

#include "support/process.h"

namespace t2i::test {

// Arguments as given, no shell. `environment`: NAME=value strings added to ours; `folder`: working directory if not empty.
[[nodiscard]] Outcome run_t2i(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {},
                              const std::string& folder = {});

// The same, but sends SIGINT once the program has said on standard error what it runs on.
[[nodiscard]] Outcome interrupt_t2i(const std::vector<std::string>& arguments);

}  // namespace t2i::test
