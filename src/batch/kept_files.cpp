#include "batch/kept_files.h"

#include <algorithm>
#include <filesystem>

#include "batch/line_reader.h"
#include "batch/model_identity.h"
#include "batch/outputs.h"
#include "batch/request_id.h"
#include "core/files.h"
#include "core/nearest.h"
#include "pipeline/picture_read.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace fs = std::filesystem;

std::string announced_names(const std::string& unfinished_folder) {
    return unfinished_folder + "/names";
}

KeptFiles::KeptFiles(std::string folder, const Shard& shard, const JournalIndex& index) : folder_(std::move(folder)) {
    const std::string own = unfinished_folder(folder_, shard), split = "-of-" + std::to_string(shard.count);
    std::vector<std::string> names;
    for (const auto& unfinished : unfinished_folders(folder_)) {
        const std::string path = announced_names(unfinished);
        if ((unfinished != own && !shard.is_whole() && unfinished.ends_with(split)) || !fs::exists(path)) continue;
        LineReader lines(open_own_file(path));
        for (std::string line; lines.next(line);) {
            if (!line.ends_with('\n')) break;  // cut short: that file was not written yet
            line.pop_back();
            names.push_back(line);
        }
    }
    if (names.empty()) return;
    IdTable recorded;  // files, by hash of their names
    for (const auto& path : index.paths())
        read_journal(path, [&](const JournalRecord& record, std::uint64_t) {
            if (record.failed.empty()) recorded.at(hash64(record.file)).seen = 1;
        });
    for (auto& name : names)
        if (!recorded.look_up(hash64(name)) && exists_at_all(folder_ + "/" + name)) unrecorded_.push_back(std::move(name));
    std::ranges::sort(unrecorded_);
}

std::string KeptFiles::claim(const Picture& picture, const ModelIdentity& model) {
    IdEntry& claimed = claimed_.at(hash64(picture.file));
    if (claimed.seen) return "its file's name is that of an earlier line's: " + in_quotes(picture.file);
    claimed.seen = 1;
    const std::string path = folder_ + "/" + picture.file;
    if (!exists_at_all(path) || picture.file == picture.replaces || std::ranges::binary_search(unrecorded_, picture.file))
        return {};
    if (std::error_code ec; !fs::is_regular_file(path, ec))
        return picture.file + " is there and is no file, and is left as it is";
    try {
        const PictureInfo info = read_picture_info(read_file(path), path);
        if (const std::string* told = info.parameters(); told && *told == model.parameters(picture)) return {};
    } catch (const Error&) {  // no picture, or one that cannot be read
    }
    return picture.file + " is there and in no journal: somebody's file, which is left as it is";
}

}  // namespace t2i::batch
