// Tokenizer folders of tests/golden/token_folders.json, which leaves out of every tokenizer.json what is in a spiece.model of the
// repository.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace t2i::test {

// Writes a folder {"class", "vocabulary", "files"} of the golden.
void write_token_folder(const nlohmann::json& folder, const std::filesystem::path& to);

// The folder of this name that transformers 4 or 5 wrote or reads: "4", "fast, both files".
[[nodiscard]] nlohmann::json token_folder(const std::string& version, const std::string& name);

[[nodiscard]] std::string base64_of(std::string_view bytes);

}  // namespace t2i::test
