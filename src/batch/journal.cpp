#include "batch/journal.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "batch/line_reader.h"
#include "batch/request_id.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* journal_start = "journal";

bool is_hex(const std::string& text, std::size_t digits) {
    return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

double rounded(double ms) {
    return std::round(ms * 1000) / 1000;
}

// A relative path that stays in its folder.
bool is_below(const std::string& file) {
    const fs::path path(file);
    return !file.empty() && path.is_relative() && std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

}  // namespace

std::string journal_line(const JournalRecord& r) {
    nlohmann::ordered_json line{{"id", r.id}, {"request", r.request}};
    if (!r.failed.empty()) {
        line["failed"] = r.failed;
    } else {
        line["file"] = r.file;
        if (r.tar_end > 0) {
            line["offset"] = r.offset;
            line["tar_end"] = r.tar_end;
        }
        line["bytes"] = r.bytes;
        line["sha256"] = r.sha256;
        line["engine_ms"] = rounded(r.engine_ms);
        line["write_ms"] = rounded(r.write_ms);
    }
    line["manifest_end"] = r.manifest_end;
    line["finished"] = r.finished;
    return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<JournalRecord> parse_journal_line(std::string_view line) {
    if (!line.ends_with('\n')) return std::nullopt;
    const json j = json::parse(line, nullptr, false);
    if (!j.is_object()) return std::nullopt;
    try {
        JournalRecord r;
        r.id = j.at("id").get<std::string>();
        r.request = j.at("request").get<std::string>();
        r.manifest_end = j.at("manifest_end").get<std::uint64_t>();
        r.finished = j.at("finished").get<std::string>();
        if (!is_hex(r.request, 32)) return std::nullopt;
        if (j.contains("failed")) {
            r.failed = j.at("failed").get<std::string>();
            return r.failed.empty() ? std::nullopt : std::optional(r);
        }
        r.file = j.at("file").get<std::string>();
        r.bytes = j.at("bytes").get<std::uint64_t>();
        r.sha256 = j.at("sha256").get<std::string>();
        r.engine_ms = j.at("engine_ms").get<double>();
        r.write_ms = j.at("write_ms").get<double>();
        if (j.contains("tar_end")) {
            r.offset = j.at("offset").get<std::uint64_t>();
            r.tar_end = j.at("tar_end").get<std::uint64_t>();
        }
        return is_hex(r.sha256, 64) && is_below(r.file) ? std::optional(r) : std::nullopt;
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

std::vector<std::string> journal_paths(const std::string& folder) {
    std::vector<std::string> paths;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(journal_start) && name.ends_with(".jsonl") && (name == "journal.jsonl" || name[7] == '.'))
            paths.push_back(entry.path().string());
    }
    std::ranges::sort(paths);
    return paths;
}

JournalDamage read_journal(const std::string& path, const std::function<void(const JournalRecord&, std::uint64_t)>& record) {
    LineReader lines(open_source(path));
    JournalDamage damage;
    bool last_is_bad = false;
    std::string line;
    for (std::uint64_t begin = 0; lines.next(line); begin = lines.bytes_read()) {
        if (last_is_bad) ++damage.bad_lines;
        const auto parsed = lines.too_long() ? std::nullopt : parse_journal_line(line);
        last_is_bad = !parsed;
        if (parsed) {
            record(*parsed, begin);
            damage.whole_bytes = lines.bytes_read();
        }
    }
    damage.cut_short = last_is_bad;
    return damage;
}

void JournalIndex::read(const std::string& folder, const std::function<void(const std::string&, const JournalDamage&)>& damaged) {
    paths_ = journal_paths(folder);
    manifest_ends_.assign(paths_.size(), std::nullopt);
    if (paths_.size() > 8192) throw Error(ErrorCode::input, "holds more than 8192 journals; merge them", folder);
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        const auto damage = read_journal(paths_[i], [&](const JournalRecord& record, std::uint64_t offset) {
            manifest_ends_[i] = record.manifest_end;
            IdEntry& entry = table_.at(hash64(record.id));
            // Of several journals (a split made anew), a picture counts for more than a failure.
            if (entry.recorded && entry.journal != i && !record.failed.empty() && !entry.failed) return;
            entry.recorded = 1;
            entry.failed = record.failed.empty() ? 0 : 1;
            entry.journal = i & 0x1FFFU;
            entry.offset = offset & 0xFFFFFFFFFFFFU;
        });
        if ((damage.cut_short || damage.bad_lines > 0) && damaged) damaged(paths_[i], damage);
    }
}

JournalRecord JournalIndex::record_of(const IdEntry& entry) const {
    const std::string& path = paths_.at(entry.journal);
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(entry.offset));
    std::string line;
    std::getline(file, line);
    auto record = parse_journal_line(line + "\n");
    if (!file || !record) throw Error(ErrorCode::input, "changed while it was in use", path);
    return *record;
}

std::optional<std::uint64_t> JournalIndex::manifest_end(const std::string& journal_path) const {
    for (std::size_t i = 0; i < paths_.size(); ++i)
        if (paths_[i] == journal_path) return manifest_ends_[i];
    return std::nullopt;
}

std::string utc_now() {
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    std::array<char, 32> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(text.data() + n, text.size() - n, ".%03dZ", static_cast<int>(ms));
    return text.data();
}

}  // namespace t2i::batch
