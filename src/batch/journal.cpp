#include "batch/journal.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "batch/json_line.h"
#include "batch/line_reader.h"
#include "batch/request_id.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // parameters keep their order

namespace {

constexpr const char* journal_start = "journal";

bool is_hex(const std::string& text, std::size_t digits) {
    return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

double rounded(double ms) {
    constexpr double most = 1e12;  // ms; beyond it three digits are beyond a double's
    return std::abs(ms) < most ? std::round(ms * 1000) / 1000 : ms;
}

// The first line of a journal, perhaps cut short; zeros are what a power cut may leave of it.
bool could_begin_record(std::string_view line) {
    constexpr std::string_view start = "{\"id\":";
    return line.starts_with('\0') || line.starts_with(start) || start.starts_with(line);
}

// A relative path that stays in its folder.
bool is_below(const std::string& file) {
    const fs::path path(file);
    return !file.empty() && path.is_relative() && std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

// A whole number from 0 on; a json::exception when it is none. get<>() would cast 1e80, too.
std::uint64_t count_at(const json& line, const char* key) {
    return line.at(key).get_ref<const json::number_unsigned_t&>();
}

}  // namespace

std::string journal_line(const JournalRecord& r) {
    json line{{"id", r.id}, {"request", r.request}};
    if (!r.version.empty()) line["version"] = r.version;
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
        if (!r.name.empty()) line["name"] = r.name;
        if (!r.encoding.empty()) line["encoding"] = r.encoding;
        if (!r.metadata) line["metadata"] = false;
    }
    line["manifest_end"] = r.manifest_end;
    line["finished"] = r.finished;
    if (!r.parameters.empty()) line["parameters"] = json::parse(r.parameters);
    return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<JournalRecord> parse_journal_line(std::string_view line) {
    if (!line.ends_with('\n')) return std::nullopt;
    const json j = parse_object_line(line);
    if (!j.is_object()) return std::nullopt;
    try {
        JournalRecord r;
        r.id = j.at("id").get<std::string>();
        r.request = j.at("request").get<std::string>();
        r.manifest_end = count_at(j, "manifest_end");
        r.finished = j.at("finished").get<std::string>();
        r.version = j.value("version", "");
        if (!is_hex(r.request, 32)) return std::nullopt;
        if (j.contains("failed")) {
            r.failed = j.at("failed").get<std::string>();
            return r.failed.empty() ? std::nullopt : std::optional(r);
        }
        r.file = j.at("file").get<std::string>();
        r.bytes = count_at(j, "bytes");
        r.sha256 = j.at("sha256").get<std::string>();
        r.engine_ms = j.at("engine_ms").get<double>();
        r.write_ms = j.at("write_ms").get<double>();
        if (j.contains("tar_end")) {
            r.offset = count_at(j, "offset");
            r.tar_end = count_at(j, "tar_end");
        }
        r.name = j.value("name", "");
        r.encoding = j.value("encoding", "");
        r.metadata = j.value("metadata", true);
        if (j.contains("parameters")) {
            if (!j["parameters"].is_object() || !j["parameters"].contains("id")) return std::nullopt;
            r.parameters = j["parameters"].dump(-1, ' ', false, json::error_handler_t::replace);
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
    LineReader lines(open_own_file(path));
    JournalDamage damage;
    bool last_is_bad = false, has_record = false;
    std::string line;
    for (std::uint64_t begin = 0; lines.next(line); begin = lines.bytes_read()) {
        if (begin == 0) damage.is_foreign = !could_begin_record(line);
        if (last_is_bad) ++damage.bad_lines;
        const auto parsed = lines.too_long() ? std::nullopt : parse_journal_line(line);
        last_is_bad = !parsed;
        if (parsed) {
            record(*parsed, begin);
            damage.whole_bytes = lines.bytes_read();
            has_record = true;
        }
    }
    damage.cut_short = last_is_bad;
    damage.is_foreign = damage.is_foreign && !has_record;
    return damage;
}

void JournalIndex::read(const std::string& folder, const std::function<void(const std::string&, const JournalDamage&)>& damaged) {
    paths_ = journal_paths(folder);
    ends_.assign(paths_.size(), {});
    if (paths_.size() > 8192) throw Error(ErrorCode::input, "holds more than 8192 journals; merge them", folder);
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        const auto damage = read_journal(paths_[i], [&](const JournalRecord& record, std::uint64_t offset) {
            ends_[i].record = offset;
            if (record.failed.empty()) ends_[i].picture = offset;
            IdEntry& entry = table_.at(hash64(record.id));
            // Of several journals (a split made anew), a picture counts for more than a failure.
            if (entry.recorded && entry.journal != i && !record.failed.empty() && !entry.failed) return;
            entry.recorded = 1;
            entry.failed = record.failed.empty() ? 0 : 1;
            entry.journal = i & 0x1FFFU;
            entry.offset = offset & 0xFFFFFFFFFFFFU;
        });
        if (damage.is_foreign)
            throw Error(ErrorCode::input, "is no journal of t2i batch; move it away, or choose another folder", paths_[i]);
        if ((damage.cut_short || damage.bad_lines > 0) && damaged) damaged(paths_[i], damage);
    }
}

JournalRecord JournalIndex::record_of(const IdEntry& entry) const {
    return record_at(paths_.at(entry.journal), entry.offset);
}

JournalRecord JournalIndex::record_at(const std::string& path, std::uint64_t offset) const {
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::string line;
    std::getline(file, line);
    auto record = parse_journal_line(line + "\n");
    if (!file || !record) throw Error(ErrorCode::input, "changed while it was in use", path);
    return *record;
}

std::optional<JournalRecord> JournalIndex::last(const std::string& journal_path,
                                                std::optional<std::uint64_t> Ends::* which) const {
    const auto path = std::ranges::find(paths_, journal_path);
    if (path == paths_.end()) return std::nullopt;
    const auto offset = ends_[static_cast<std::size_t>(path - paths_.begin())].*which;
    return offset ? std::optional(record_at(*path, *offset)) : std::nullopt;
}

std::optional<JournalRecord> JournalIndex::last_record(const std::string& journal_path) const {
    return last(journal_path, &Ends::record);
}

std::optional<JournalRecord> JournalIndex::last_picture(const std::string& journal_path) const {
    return last(journal_path, &Ends::picture);
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
