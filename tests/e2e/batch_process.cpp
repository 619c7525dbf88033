#include "e2e/batch_process.h"

#include <algorithm>

#include "e2e/tiny_model.h"

namespace t2i::test {

namespace fs = std::filesystem;

std::vector<std::string> batch_arguments(const std::string& file, const std::string& folder,
                                         const std::vector<std::string>& more) {
    std::vector<std::string> all{"batch", file, "-o", folder, "-m", tiny_model().string(), "--steps", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

Outcome run_batch(const std::string& file, const std::string& folder, const std::vector<std::string>& more,
                  const std::vector<std::string>& environment) {
    return Process(batch_arguments(file, folder, more), {.input = -1, .environment = environment, .folder = {}}).wait();
}

std::string prompt_lines(int n) {
    std::string lines;
    for (int i = 0; i < n; ++i) {
        std::string prompt = "a red apple";
        for (int word = 0; word < i % 5 * 4; ++word) prompt += " and a pear";
        lines += R"({"prompt": ")" + prompt + " number " + std::to_string(i) + R"(", "id": "p)" + std::to_string(i) +
                 R"(", "seed": )" + std::to_string(i * 7) + (i % 4 == 3 ? R"(, "cfg_scale": 1)" : "") + "}\n";
    }
    return lines;
}

std::map<std::string, std::string> pictures_in(const fs::path& folder) {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.path().extension() == ".png")
            found[fs::relative(entry.path(), folder).generic_string()] = file_text(entry.path().string());
    return found;
}

std::size_t lines_in(const fs::path& path) {
    if (!fs::exists(path)) return 0;
    const std::string text = file_text(path.string());
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::vector<nlohmann::json> json_lines(const std::filesystem::path& path) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

std::vector<std::string> leftovers_in(const fs::path& folder) {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.path().filename().string().starts_with('.')) found.push_back(entry.path().string());
    return found;
}

}  // namespace t2i::test
