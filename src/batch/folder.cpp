#include "batch/folder.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "batch/chunk_writer.h"
#include "batch/folded_names.h"
#include "batch/json_line.h"
#include "batch/kept_files.h"
#include "batch/line_reader.h"
#include "batch/manifest.h"
#include "batch/outputs.h"
#include "batch/request_id.h"
#include "core/files.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace fs = std::filesystem;

namespace {

void rename_over(const std::string& from, const std::string& to) {
    std::error_code ec;
    fs::rename(from, to, ec);
    if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), to);
}

// "manifest.jsonl", "manifest.0-of-4.jsonl" … of a folder, sorted.
std::vector<std::string> files_of(const std::string& folder, const std::string& stem) {
    std::vector<std::string> found;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(stem + ".") && name.ends_with(".jsonl")) found.push_back(entry.path().string());
    }
    std::ranges::sort(found);
    return found;
}

// A link where both are on one file system, else a copy, which grows under a temporary name. `to` is free.
void bring_file(const fs::path& from, const fs::path& to, const std::string& temporary) {
    std::error_code ec;
    fs::create_directories(to.parent_path(), ec);
    fs::create_hard_link(from, to, ec);
    if (!ec) return;
    fs::copy_file(from, temporary, fs::copy_options::overwrite_existing, ec);
    if (ec) throw Error(ErrorCode::input, "cannot be copied: " + ec.message(), to.string());
    AppendFile(temporary).append({});  // waits until it is on disk
    rename_over(temporary, to.string());
}

}  // namespace

bool holds_more_than(const std::string& path, const PromptOptions& options, std::size_t pictures) {
    if (!fs::is_regular_file(path)) return false;  // a pipe can be read only once
    const auto file = open_prompts(path, options);
    PromptEntry entry;
    std::size_t found = 0;
    while (found <= pictures && file->next(entry))
        if (entry.request) found += static_cast<std::size_t>(std::max(entry.request->request.count, 1));
    return found > pictures;
}

namespace {

// One merge, step by step; each leaves the folder usable.
class Merge {
  public:
    Merge(std::string folder, const std::vector<std::string>& from, FileSystemLacks& lacks)
        : folder_(std::move(folder)), lacks_(lacks), lock_(folder_, {}, lacks_), from_(from) {
        std::error_code ec;
        fs::create_directory(unfinished_, ec);
        if (ec) throw Error(ErrorCode::input, "cannot be made: " + ec.message(), unfinished_);
    }

    MergeResult run() {
        if (journal_paths(folder_).empty())
            for (const char* name : {"/manifest.jsonl", "/failed.jsonl"})
                if (exists_at_all(folder_ + name)) throw without_journal(folder_ + name);
        claim_names();
        for (std::size_t i = 0; i < from_.size(); ++i) bring_folder(from_[i], i);
        index_.read(folder_, {});
        const auto unfinished = unfinished_folders(folder_);
        close_left_tars(folder_, index_, unfinished, lacks_);
        write_journal_and_manifest();
        write_failures();
        // The journal first: its manifest_end may be past the end of the manifest, but never before a line that it needs.
        rename_over(unfinished_ + "/journal.jsonl", folder_ + "/journal.jsonl");
        rename_over(unfinished_ + "/manifest.jsonl", folder_ + "/manifest.jsonl");
        sync_folder(folder_, lacks_);
        for (const char* stem : {"journal", "manifest", "failed"})
            for (const auto& path : files_of(folder_, stem))
                if (fs::path(path).filename() != std::string(stem) + ".jsonl") remove_file(path);
        for (const auto& left : unfinished) fs::remove_all(left);
        fs::remove_all(unfinished_);
        sync_folder(folder_, lacks_);
        return result_;
    }

  private:
    // Of the pictures that are here, where capitals make no difference.
    void claim_names() {
        if (!(folds_case_ = folds_case(unfinished_))) return;
        for (const auto& path : journal_paths(folder_))
            read_journal(path, [this](const JournalRecord& record, std::uint64_t) {
                if (record.failed.empty()) static_cast<void>(names_.claim(record.file));
            });
    }

    // Files first, then a journal of its own in this folder, which the rest of the merge reads like a shard's.
    void bring_folder(const std::string& from, std::size_t number) {
        std::error_code ec;
        if (fs::equivalent(from, folder_, ec)) return;
        if (!fs::is_directory(from, ec)) throw Error(ErrorCode::input, "folder does not exist", from);
        const FolderLock lock(from, {}, lacks_);
        JournalIndex index;
        index.read(from, {});
        if (index.paths().empty()) throw Error(ErrorCode::input, "holds no journal", from);
        check_same(from, index);
        close_left_tars(from, index, unfinished_folders(from), lacks_);
        const std::string suffix = ".from-" + std::to_string(number);
        const std::string journal = unfinished_ + "/journal" + suffix, manifest = unfinished_ + "/manifest" + suffix;
        {
            ChunkWriter records(journal), lines(manifest);
            std::string line;
            for (const auto& path : files_of(from, "manifest"))
                for (LineReader reader(open_own_file(path)); reader.next(line);)
                    if (line.ends_with('\n')) lines.add(renamed(line, number));
            for (const auto& path : index.paths())
                read_journal(path, [&](JournalRecord record, std::uint64_t) {
                    if (record.failed.empty()) bring_picture(from, record, number);
                    record.manifest_end = lines.bytes();
                    records.add(journal_line(record));
                });
            lines.flush();
            records.flush();
        }
        for (const auto& path : files_of(from, "failed")) {
            fs::copy_file(path, folder_ + "/failed" + suffix + "-" + fs::path(path).filename().string(),
                          fs::copy_options::overwrite_existing);
        }
        rename_over(manifest, folder_ + "/manifest" + suffix + ".jsonl");
        rename_over(journal, folder_ + "/journal" + suffix + ".jsonl");
        sync_folder(folder_, lacks_);
    }

    // One id cannot stand for two pictures.
    void check_same(const std::string& from, const JournalIndex& index) const {
        JournalIndex ours;
        ours.read(folder_, {});
        index.table().for_each([&](const IdEntry& entry) {
            const IdEntry* own = ours.table().look_up(entry.key);
            if (!entry.recorded || entry.failed || !own || !own->recorded || own->failed) return;
            const JournalRecord theirs = index.record_of(entry);
            if (theirs.sha256 != ours.record_of(*own).sha256)
                throw Error(ErrorCode::input, "id " + in_quotes(theirs.id) + " is another picture than in " + folder_, from);
        });
    }

    // Tar shards of several folders have the same names; pictures have their ids'.
    [[nodiscard]] static std::string tar_name(const std::string& file, std::size_t number) {
        return "from-" + std::to_string(number) + "-" + file;
    }
    [[nodiscard]] static std::string renamed(const std::string& line, std::size_t number) {
        auto j = parse_object_line(line);
        if (!j.is_object() || !j.contains("file_name") || !j["file_name"].is_string()) return line;
        const auto file = j["file_name"].get<std::string>();
        if (!file.ends_with(".tar")) return line;
        j["file_name"] = tar_name(file, number);
        return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    void bring_picture(const std::string& from, JournalRecord& record, std::size_t number) {
        const fs::path source = fs::path(from) / record.file;
        if (record.tar_end > 0) record.file = tar_name(record.file, number);
        const fs::path target = fs::path(folder_) / record.file;
        if (folds_case_ && !names_.claim(record.file))
            throw Error(ErrorCode::input, "another picture there has its name but for capitals: " + in_quotes(record.file), from);
        std::error_code ec;
        if (!fs::exists(source, ec)) return;
        if (!exists_at_all(target.string())) return bring_file(source, target, unfinished_ + "/copy");
        if (record.tar_end > 0) return;  // with an earlier sample of it
        if (!fs::equivalent(source, target, ec) && !is_there(folder_, record, false))
            throw Error(ErrorCode::input, "is there, and another file than in " + from + "; it is left as it is",
                        target.string());
    }

    // Both from the latest records. Of a picture of 0.1.0 whose line is lost there will be none: a later check says so.
    void write_journal_and_manifest() {
        const ManifestLines described(files_of(folder_, "manifest"));
        const auto each_latest = [&](auto action) {
            for (std::size_t i = 0; i < index_.paths().size(); ++i)
                read_journal(index_.paths()[i], [&](JournalRecord record, std::uint64_t offset) {
                    const IdEntry* entry = index_.table().look_up(hash64(record.id));
                    if (entry && entry->journal == i && entry->offset == offset) action(record);
                });
        };
        ChunkWriter manifest(unfinished_ + "/manifest.jsonl");
        each_latest([&](const JournalRecord& record) {
            if (record.failed.empty()) manifest.add(described.line_of(record));
        });
        manifest.flush();
        ChunkWriter journal(unfinished_ + "/journal.jsonl");
        each_latest([&](JournalRecord& record) {
            record.manifest_end = manifest.bytes();
            journal.add(journal_line(record));
            ++(record.failed.empty() ? result_.pictures : result_.failed);
        });
        journal.flush();
        result_.journals = static_cast<std::int64_t>(index_.paths().size());
    }
    void write_failures() {
        const auto paths = files_of(folder_, "failed");
        if (paths.empty()) return;
        {
            ChunkWriter out(unfinished_ + "/failed.jsonl");
            IdTable written;  // the same line in several lists counts once
            std::string line;
            for (const auto& path : paths)
                for (LineReader reader(open_own_file(path)); reader.next(line);) {
                    IdEntry& once = written.at(hash64(line));
                    if (!once.seen) out.add(line);
                    once.seen = 1;
                }
            out.flush();
        }
        rename_over(unfinished_ + "/failed.jsonl", folder_ + "/failed.jsonl");
    }

    std::string folder_, unfinished_ = folder_ + "/.unfinished.merge";
    FileSystemLacks& lacks_;
    FolderLock lock_;
    std::vector<std::string> from_;
    JournalIndex index_;
    bool folds_case_ = false;
    FoldedNames names_;
    MergeResult result_;
};

}  // namespace

MergeResult merge_folders(const std::string& folder, const std::vector<std::string>& from, FileSystemLacks& lacks) {
    std::error_code ec;
    if (!from.empty()) fs::create_directory(folder, ec);
    if (!fs::is_directory(folder, ec)) throw Error(ErrorCode::input, "folder does not exist", folder);
    if (from.empty() && journal_paths(folder).empty()) throw Error(ErrorCode::input, "holds no journal", folder);
    return Merge(folder, from, lacks).run();
}

VerifyResult verify_folder(const std::string& folder, const std::function<void(const std::string&, const std::string&)>& problem,
                           FileSystemLacks& lacks) {
    std::error_code ec;
    if (!fs::is_directory(folder, ec)) throw Error(ErrorCode::input, "folder does not exist", folder);
    // A folder that nobody can write to needs no lock.
    std::optional<FolderLock> lock;
    if (::access(folder.c_str(), W_OK) == 0) lock.emplace(folder, Shard{}, lacks);
    JournalIndex index;
    index.read(folder, [&](const std::string& path, const JournalDamage& damage) {
        if (damage.cut_short) problem(path, "its last line is cut short");
        if (damage.bad_lines > 0) problem(path, counted(static_cast<std::int64_t>(damage.bad_lines), "damaged line"));
    });
    if (index.paths().empty()) throw Error(ErrorCode::input, "holds no journal", folder);
    VerifyResult result;
    result.manifest = check_manifests(index, problem);
    IdTable files;
    for (std::size_t i = 0; i < index.paths().size(); ++i)
        read_journal(index.paths()[i], [&](const JournalRecord& record, std::uint64_t offset) {
            const IdEntry* entry = index.table().look_up(hash64(record.id));
            if (!entry || entry->journal != i || entry->offset != offset) return;
            if (!record.failed.empty()) {
                ++result.failed;
                return;
            }
            files.at(hash64(record.file)).seen = 1;
            const bool good = is_there(folder, record, false);
            ++(good ? result.good : result.bad);
            if (!good) problem(folder + "/" + record.file, fs::exists(fs::path(folder) / record.file) ? "damaged" : "missing");
        });
    for (auto at = fs::recursive_directory_iterator(folder); at != fs::recursive_directory_iterator(); ++at) {
        const std::string name = at->path().filename().string();
        if (at->is_directory() && name.starts_with(".unfinished")) {
            at.disable_recursion_pending();
            const bool has_tar = std::ranges::any_of(fs::directory_iterator(at->path()),
                                                     [](const auto& entry) { return entry.path().extension() == ".tar"; });
            problem(at->path().string(), has_tar
                                             ? "holds the tar shard that a killed run was writing; the next one goes on with it"
                                             : "left by a run that was killed; the next one removes it");
            ++result.unknown;
            continue;
        }
        const std::string extension = at->path().extension().string();
        if (!format_of_extension(extension) && extension != ".tar") continue;
        if (files.look_up(hash64(fs::relative(at->path(), folder).generic_string()))) continue;
        problem(at->path().string(), "in no journal");
        ++result.unknown;
    }
    return result;
}

}  // namespace t2i::batch
