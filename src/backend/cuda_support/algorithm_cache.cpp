#include "backend/cuda_support/algorithm_cache.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/files.h"
#include "core/number_text.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

constexpr int format_version = 1;
// A cache of every shape of every model is far smaller; a larger file is not ours.
constexpr std::uintmax_t max_file_bytes = 16U << 20;

std::uint64_t from_hex(const std::string& text) {
    const auto value = parse_number<std::uint64_t>(text, 16);
    if (!value) throw std::invalid_argument("not a hexadecimal number");
    return *value;
}

std::map<std::string, AlgorithmCache::Entry> parse(std::istream& in) {
    const auto json = nlohmann::json::parse(in);
    if (json.at("format") != format_version) throw std::invalid_argument("another format");
    std::map<std::string, AlgorithmCache::Entry> entries;
    for (const auto& [key, value] : json.at("algorithms").items()) {
        AlgorithmCache::Entry entry;
        const auto& words = value.at("algorithm");
        if (words.size() != entry.algorithm.size()) throw std::invalid_argument("an algorithm of another size");
        for (std::size_t i = 0; i < entry.algorithm.size(); ++i) entry.algorithm[i] = from_hex(words.at(i).get<std::string>());
        entry.workspace_bytes = value.at("workspace_bytes").get_ref<const nlohmann::json::number_unsigned_t&>();
        entries.emplace(key, entry);
    }
    return entries;
}

// What the file holds; nothing when there is none. `problem` is set when it is no cache.
std::map<std::string, AlgorithmCache::Entry> read(const std::string& path, std::string& problem) {
    std::error_code ec;
    if (!fs::exists(path, ec)) return {};
    try {
        if (const auto bytes = fs::file_size(path); bytes > max_file_bytes) throw std::invalid_argument("too large");
        std::ifstream in(path, std::ios::binary);
        if (!in) throw std::invalid_argument("it cannot be read");
        return parse(in);
    } catch (const std::exception& error) {
        problem = path + ": not a cache of algorithms (" + error.what() + "); ignored";
        return {};
    }
}

std::string file_name_part(std::string_view text) {
    std::string part;
    for (const char c : text) part += std::isalnum(static_cast<unsigned char>(c)) || c == '.' ? c : '_';
    return part;
}

}  // namespace

std::string AlgorithmCache::path_for(std::string_view library, std::string_view device, std::string_view driver,
                                     std::string_view version) {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    fs::path folder;
    if (cache && *cache == '/') folder = cache;  // the XDG specification: relative paths are invalid and ignored
    else if (home && *home) folder = fs::path(home) / ".cache";
    else return {};
    return (folder / "t2i" /
            (std::string(library) + "-" + file_name_part(device) + "-" + file_name_part(driver) + "-" + file_name_part(version) +
             ".json"))
        .string();
}

AlgorithmCache::AlgorithmCache(std::string path, Warn warn) : path_(std::move(path)), warn_(std::move(warn)) {
    if (path_.empty()) return;
    std::string problem;
    entries_ = read(path_, problem);
    if (!problem.empty() && warn_) warn_(problem);
}

std::optional<AlgorithmCache::Entry> AlgorithmCache::find(const std::string& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? std::nullopt : std::optional(found->second);
}

void AlgorithmCache::put(const std::string& key, const Entry& entry) {
    entries_[key] = entry;
    if (!path_.empty()) write();
}

void AlgorithmCache::write() {
    std::string problem;
    for (const auto& [key, entry] : read(path_, problem)) entries_.emplace(key, entry);  // ours win
    nlohmann::json algorithms = nlohmann::json::object();
    for (const auto& [key, entry] : entries_) {
        nlohmann::json words = nlohmann::json::array();
        for (const auto word : entry.algorithm) words.push_back(hex_text(word));
        algorithms[key] = {{"algorithm", std::move(words)}, {"workspace_bytes", entry.workspace_bytes}};
    }
    const nlohmann::json json{{"format", format_version}, {"algorithms", std::move(algorithms)}};
    std::error_code ignored;
    fs::create_directories(fs::path(path_).parent_path(), ignored);
    try {
        write_file_atomically(path_, json.dump(1) + '\n', {.sync = false});
    } catch (const Error&) {
        if (!has_warned_ && warn_) warn_(path_ + ": cannot be written, so algorithms will be searched again next time");
        has_warned_ = true;
    }
}

}  // namespace t2i
