// What can be done with an output folder besides filling it: manifest, merging of shards, verification.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "batch/journal.h"
#include "batch/prepare.h"
#include "batch/prompt_file.h"

namespace t2i::batch {

// True when the lines of a file ask for more than so many pictures. Reads no further than it must.
[[nodiscard]] bool holds_more_than(const std::string& path, PromptFormat format, std::size_t pictures);

// All parameters of a picture as a JSON object.
[[nodiscard]] std::string manifest_parameters(const Picture& picture, const ModelInfo& info, const std::string& model_hash);
// Its line of the manifest, with its file and SHA-256 before them.
[[nodiscard]] std::string manifest_line(const JournalRecord& record, const std::string& parameters);

// Keeps the last line of each "id" of a JSON-lines file, in the order of those. temporary: a path on the same file system.
// Returns the new size in bytes. Throws Error{input}. lacks: as everywhere here, hears of what the file system cannot do.
std::uint64_t keep_last_lines(const std::string& path, const std::string& temporary, FileSystemLacks& lacks);

struct MergeResult {
    std::int64_t journals = 0, pictures = 0, failed = 0;
};
// Makes one journal, manifest and list of failures of those of all shards in `folder`, and of the folders `from`, whose files
// are linked or copied over. Can be repeated after a kill. Throws Error{input}: a folder is in use, a file cannot be written.
MergeResult merge_folders(const std::string& folder, const std::vector<std::string>& from, FileSystemLacks& lacks);

struct VerifyResult {
    std::int64_t good = 0, bad = 0, unknown = 0, failed = 0;
};
// Compares every file with the journals. problem: called for each that is missing, damaged, unfinished, or in no journal.
VerifyResult verify_folder(const std::string& folder,
                           const std::function<void(const std::string& path, const std::string& what)>& problem,
                           FileSystemLacks& lacks);

}  // namespace t2i::batch
