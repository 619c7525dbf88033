// What can be done with an output folder besides filling it: merging of shards, verification.
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
[[nodiscard]] bool holds_more_than(const std::string& path, const PromptOptions& options, std::size_t pictures);

struct MergeResult {
    std::int64_t journals = 0, pictures = 0, failed = 0;
};
// Makes one journal, manifest and list of failures of those of all shards in `folder`, and of the folders `from`, whose files
// are linked or copied over. Can be repeated after a kill. Throws Error{input}: a folder is in use, a file cannot be written.
MergeResult merge_folders(const std::string& folder, const std::vector<std::string>& from, FileSystemLacks& lacks);

struct VerifyResult {
    std::int64_t good = 0, bad = 0, unknown = 0, failed = 0;
    std::int64_t manifest = 0;  // problems of manifests
};
// Compares every file, and every manifest, with the journals. problem: called for each file that is missing, damaged, unfinished,
// or in no journal, and for what check_manifests() finds.
VerifyResult verify_folder(const std::string& folder,
                           const std::function<void(const std::string& path, const std::string& what)>& problem,
                           FileSystemLacks& lacks);

}  // namespace t2i::batch
