// Runs of `t2i batch`, and what they leave in their folder.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/run_t2i.h"

namespace t2i::test {

// `t2i batch` with the tiny model and few steps.
[[nodiscard]] std::vector<std::string> batch_arguments(const std::string& file, const std::string& folder,
                                                       const std::vector<std::string>& more = {});
[[nodiscard]] Outcome run_batch(const std::string& file, const std::string& folder, const std::vector<std::string>& more = {},
                                const std::vector<std::string>& environment = {});

// n different prompts of several lengths as JSON lines, with ids p0, p1 …
[[nodiscard]] std::string prompt_lines(int n);

// Path below the folder → bytes, of all PNGs.
[[nodiscard]] std::map<std::string, std::string> pictures_in(const std::filesystem::path& folder);
// Whole lines of a file; 0 when it is not there.
[[nodiscard]] std::size_t lines_in(const std::filesystem::path& path);
// Each line of a file, which all are JSON.
[[nodiscard]] std::vector<nlohmann::json> json_lines(const std::filesystem::path& path);
// Names that only an unfinished run may leave: temporary files and folders, locks.
[[nodiscard]] std::vector<std::string> leftovers_in(const std::filesystem::path& folder);

}  // namespace t2i::test
