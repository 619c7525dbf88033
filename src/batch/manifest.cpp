#include "batch/manifest.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "batch/chunk_writer.h"
#include "batch/json_line.h"
#include "batch/line_reader.h"
#include "batch/request_id.h"
#include "core/nearest.h"
#include "pipeline/start_picture.h"
#include "t2i/error.h"
#include "t2i/version.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

namespace {

struct ManifestLine {
    std::string id, sha256;
};
std::optional<ManifestLine> parse_line(const std::string& line) {
    const json j = parse_object_line(line);
    const auto text = [&](const char* key) {
        return j.contains(key) && j[key].is_string() ? j[key].get<std::string>() : std::string();
    };
    if (!line.ends_with('\n') || text("id").empty()) return std::nullopt;
    return ManifestLine{text("id"), text("sha256")};
}

// The whole line that ends at `end` bytes of a file; empty: there is none, or it is longer than any of ours.
std::string line_before(const std::string& path, std::uint64_t end) {
    const std::uint64_t begin = end - std::min<std::uint64_t>(end, line_limit_bytes);
    std::string text(end - begin, '\0');
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(begin));
    if (!file.read(text.data(), static_cast<std::streamsize>(text.size())) || text.size() < 2 || text.back() != '\n') return {};
    const auto before = text.rfind('\n', text.size() - 2);
    if (before == std::string::npos) return begin == 0 ? text : std::string();
    return text.substr(before + 1);
}

void put_in_place(const std::string& temporary, const std::string& path, FileSystemLacks& lacks) {
    std::error_code ec;
    fs::rename(temporary, path, ec);
    if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), path);
    sync_folder(fs::path(path).parent_path().string(), lacks);
}

}  // namespace

std::string manifest_of(const std::string& journal_path) {
    const fs::path journal(journal_path);
    return (journal.parent_path() / ("manifest" + journal.filename().string().substr(std::string("journal").size()))).string();
}

std::string manifest_parameters(const Picture& p, const ModelInfo& info, const ModelHashes& hashes) {
    json j{{"id", p.id}, {"prompt", p.text->prompt}, {"negative_prompt", p.text->negative_prompt}, {"seed", p.seed}};
    const json settings = settings_json(p.settings->resolved, p.text->start.get());
    for (const auto& [key, value] : settings.items())
        if (value != "") j[key == "sampler" ? "sampler_name" : key] = value;  // as prompt files call it
    if (const StartPicture* start = p.text->start.get()) {
        if (!start->name.empty()) j["init_image"] = start->name;
        if (!start->mask_name.empty()) j["mask"] = start->mask_name;
    }
    j["model"] = info.name;
    j["model_hash"] = hashes.model;
    if (!info.vae.empty()) {
        j["vae"] = info.vae;
        j["vae_hash"] = hashes.decoder;
    }
    for (const auto& [component, name] : info.parts) {
        j[component] = name;
        if (const auto hash = hashes.parts.find(component); hash != hashes.parts.end()) j[component + "_hash"] = hash->second;
    }
    if (!info.base.empty()) j["base"] = info.base;
    if (!info.formulas.empty()) j["formulas"] = info.formulas;
    if (!info.variant.empty()) j["variant"] = info.variant;
    j["device"] = info.device;
    j["dtype"] = info.dtype;
    if (info.fast_math) j["fast_math"] = true;
    j["version"] = T2I_VERSION;
    if (!p.text->cut.empty()) j["prompt_cut"] = p.text->cut;
    if (!p.text->extra.empty()) j["extra"] = json::parse(p.text->extra);
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string manifest_line(const JournalRecord& record) {
    const json file{{"file_name", record.file}, {"sha256", record.sha256}};
    std::string line = file.dump(-1, ' ', false, json::error_handler_t::replace);
    line.back() = ',';
    return line + record.parameters.substr(1) + "\n";
}

ManifestLines::ManifestLines(std::vector<std::string> paths) : paths_(std::move(paths)) {
    std::erase_if(paths_, [](const std::string& path) { return !fs::exists(path); });
    std::string line;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        LineReader lines(open_own_file(paths_[i]));
        for (std::uint64_t begin = 0; lines.next(line); begin = lines.bytes_read())
            if (const auto parsed = parse_line(line)) {
                IdEntry& entry = lines_.at(hash64(parsed->id + " " + parsed->sha256));
                entry.journal = i & 0x1FFFU;
                entry.offset = begin & 0xFFFFFFFFFFFFU;
            }
    }
}

std::string ManifestLines::line_of(const JournalRecord& record) const {
    if (!record.parameters.empty()) return manifest_line(record);
    const IdEntry* entry = lines_.look_up(hash64(record.id + " " + record.sha256));
    if (!entry) return {};
    std::ifstream file(paths_[entry->journal], std::ios::binary);
    file.seekg(static_cast<std::streamoff>(entry->offset));
    std::string line;
    std::getline(file, line);
    return line + "\n";
}

Error without_journal(const std::string& path) {
    return {ErrorCode::input, "has no journal beside it, which alone says whose it is; move it away, or bring the journal back",
            path};
}

std::uint64_t keep_last_lines(const std::string& path, const std::string& temporary, FileSystemLacks& lacks) {
    IdTable last;
    std::string line;
    const auto each = [&](auto action) {
        LineReader lines(open_own_file(path));
        for (std::uint64_t begin = 0; lines.next(line); begin = lines.bytes_read())
            if (const auto parsed = parse_line(line)) action(hash64(parsed->id), begin);
    };
    each([&](std::uint64_t key, std::uint64_t begin) { last.at(key).offset = begin & 0xFFFFFFFFFFFFU; });
    ChunkWriter out(temporary);
    each([&](std::uint64_t key, std::uint64_t begin) {
        if (last.at(key).offset == begin) out.add(line);
    });
    out.flush();
    put_in_place(temporary, path, lacks);
    return out.bytes();
}

bool manifest_fits(const JournalIndex& index, const std::string& journal_path) {
    const auto last = index.last_record(journal_path);
    if (!last || last->manifest_end == 0) return true;
    const std::string path = manifest_of(journal_path);
    std::error_code ec;
    const auto size = fs::file_size(path, ec);
    if (ec || size < last->manifest_end) return false;
    const auto line = parse_line(line_before(path, last->manifest_end));
    const auto picture = index.last_picture(journal_path);
    // 0.1.0 merged manifests in another order than journals.
    return line && picture && (picture->version.empty() || (line->id == picture->id && line->sha256 == picture->sha256));
}

RebuiltManifest rebuild_manifest(const std::string& journal_path, const std::string& temporary, FileSystemLacks& lacks) {
    const std::string path = manifest_of(journal_path);
    const ManifestLines old({path});
    IdTable last;
    read_journal(journal_path, [&](const JournalRecord& record, std::uint64_t offset) {
        last.at(hash64(record.id)).offset = offset & 0xFFFFFFFFFFFFU;
    });
    RebuiltManifest rebuilt;
    ChunkWriter out(temporary);
    read_journal(journal_path, [&](const JournalRecord& record, std::uint64_t offset) {
        if (!record.failed.empty() || last.look_up(hash64(record.id))->offset != offset) return;
        const std::string line = old.line_of(record);
        if (line.empty()) ++rebuilt.lost;
        else out.add(line);
    });
    out.flush();
    put_in_place(temporary, path, lacks);
    rebuilt.bytes = out.bytes();
    return rebuilt;
}

std::int64_t check_manifests(const JournalIndex& index,
                             const std::function<void(const std::string&, const std::string&)>& problem) {
    std::int64_t problems = 0;
    const auto tell = [&](const std::string& path, const std::string& what) {
        problem(path, what);
        ++problems;
    };
    IdTable described;
    std::string line;
    for (const auto& journal : index.paths()) {
        const std::string path = manifest_of(journal);
        if (!fs::exists(path)) continue;  // its pictures have no line then
        LineReader lines(open_own_file(path));
        while (lines.next(line)) {
            const auto parsed = parse_line(line);
            const std::string where = "line " + std::to_string(lines.number());
            if (!parsed) {
                tell(path, where + " is cut short, damaged or of no manifest");
                continue;
            }
            const IdEntry* entry = index.table().look_up(hash64(parsed->id));
            if (!entry || !entry->recorded)
                tell(path, where + " is of a picture that is in no journal: " + in_quotes(parsed->id));
            else if (!entry->failed) {
                const JournalRecord record = index.record_of(*entry);
                if (record.sha256 != parsed->sha256) continue;  // of an earlier picture
                if (!record.parameters.empty() && line != manifest_line(record))
                    tell(path, where + " is not what the journal says of " + in_quotes(parsed->id));
                described.at(entry->key).seen = 1;
            }
        }
    }
    for (std::size_t i = 0; i < index.paths().size(); ++i) {
        std::int64_t missing = 0;
        std::string first;
        read_journal(index.paths()[i], [&](const JournalRecord& record, std::uint64_t offset) {
            const IdEntry* entry = index.table().look_up(hash64(record.id));
            if (!record.failed.empty() || !entry || entry->journal != i || entry->offset != offset) return;
            if (described.look_up(entry->key)) return;
            if (missing++ == 0) first = record.file;
        });
        if (missing > 0)
            tell(manifest_of(index.paths()[i]), "has no line of " + std::to_string(missing) +
                                                    (missing == 1 ? " picture: " : " pictures, such as ") + in_quotes(first));
    }
    return problems;
}

}  // namespace t2i::batch
