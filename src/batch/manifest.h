// manifest.jsonl: for every picture of a journal a line with its file, its SHA-256 and all its parameters. It follows from the
// journal, which is the one truth: where it is cut or gone it is written again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "batch/journal.h"
#include "batch/prepare.h"
#include "core/file_system.h"

namespace t2i::batch {

// "manifest.jsonl", "manifest.0-of-4.jsonl": beside the journal at this path.
[[nodiscard]] std::string manifest_of(const std::string& journal_path);

// All parameters of a picture as a JSON object.
[[nodiscard]] std::string manifest_parameters(const Picture& picture, const ModelInfo& info, const ModelHashes& hashes);
// The line of a record that has its parameters, with its file and SHA-256 before them.
[[nodiscard]] std::string manifest_line(const JournalRecord& record);

// Who asks for lines of manifests by id: for records of 0.1.0, which lack their parameters.
class ManifestLines {
  public:
    // Reads them once; of an id the last line counts. Paths that are not there are passed over. Throws Error{input}.
    explicit ManifestLines(std::vector<std::string> paths);
    // The record's line, with its "\n": made of its parameters, or found. Empty: it has neither.
    [[nodiscard]] std::string line_of(const JournalRecord& record) const;

  private:
    std::vector<std::string> paths_;
    IdTable lines_;
};

// Error{input}: a manifest or a list of failures that no journal vouches for.
[[nodiscard]] Error without_journal(const std::string& path);

// Keeps the last line of each "id" of a JSON-lines file, in the order of those. temporary: a path on the same file system.
// Returns the new size in bytes. Throws Error{input}.
std::uint64_t keep_last_lines(const std::string& path, const std::string& temporary, FileSystemLacks& lacks);

// Whether the manifest ends, or goes on, where the journal's last record says, with that picture's line there. Asks for its end
// alone: check_manifests() reads it all.
[[nodiscard]] bool manifest_fits(const JournalIndex& index, const std::string& journal_path);

struct RebuiltManifest {
    std::uint64_t bytes = 0;
    std::int64_t lost = 0;  // pictures of 0.1.0 that had no whole line left
};
// Writes it anew from the journal and what is left of it. temporary: a path on the same file system. Throws Error{input}.
RebuiltManifest rebuild_manifest(const std::string& journal_path, const std::string& temporary, FileSystemLacks& lacks);

// Compares all manifests of a folder with its journals: calls problem for a line that is cut or describes no picture of theirs,
// and once for all pictures without a line. Returns how often.
std::int64_t check_manifests(const JournalIndex& index,
                             const std::function<void(const std::string& path, const std::string& what)>& problem);

}  // namespace t2i::batch
