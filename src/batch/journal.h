// journal.jsonl: a line for every picture that is whole on disk, or that could not be made. What a restart goes by.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batch/files.h"
#include "batch/id_table.h"

namespace t2i::batch {

struct JournalRecord {
    std::string id;
    std::string request;       // hash of everything that changes the picture, the model included: 32 hex digits
    std::string failed;        // why there is no picture; empty: there is one
    std::string file;          // below the output folder
    std::uint64_t offset = 0;  // where the picture begins in it (tar shards)
    std::uint64_t bytes = 0;
    std::string sha256;              // of those bytes
    std::uint64_t tar_end = 0;       // of a tar shard up to this sample, without the archive's own end
    std::uint64_t manifest_end = 0;  // of the manifest with this picture's line
    double engine_ms = 0;            // its share of the batch that it was made in
    double write_ms = 0;             // encoding, hash and file
    std::string finished;            // UTC, ISO 8601
    std::string version;             // of t2i, whose rules `request` follows; empty: 0.1.0, which did not say
    std::string name;                // the template of the file's name; empty in records of 0.1.0, as `parameters`
    std::string encoding;            // encoding_text() of the file; empty in records that do not say
    bool metadata = true;            // the file holds the picture's parameters
    std::string parameters;          // of a picture: a JSON object, as its line of the manifest has them
};

// One line with its "\n".
[[nodiscard]] std::string journal_line(const JournalRecord& record);
// Nothing when the line is not a whole record.
[[nodiscard]] std::optional<JournalRecord> parse_journal_line(std::string_view line);

// The journals of a folder: the whole run's and those of shards, sorted. Paths.
[[nodiscard]] std::vector<std::string> journal_paths(const std::string& folder);

// Calls `record` for each whole record of a journal, with the place where its line begins.
struct JournalDamage {
    std::uint64_t whole_bytes = 0;  // up to the end of the last whole line
    bool cut_short = false;         // the last line is not whole, as a kill or a full disk leaves it
    std::uint64_t bad_lines = 0;    // in the middle
    bool is_foreign = false;        // it is no journal: no line is a record, and the first is not the beginning of one
};
JournalDamage read_journal(const std::string& path,
                           const std::function<void(const JournalRecord&, std::uint64_t offset)>& record);

// Everything that the journals of a folder know, by hash of the id; the latest record of an id counts.
class JournalIndex {
  public:
    // damaged: called with a journal's path and what is wrong with it. Throws Error{input}: a file of a journal's name is none.
    void read(const std::string& folder, const std::function<void(const std::string& path, const JournalDamage&)>& damaged);
    [[nodiscard]] IdTable& table() { return table_; }
    [[nodiscard]] const IdTable& table() const { return table_; }
    // The record of an entry with `recorded`, read again. Throws Error{input} when it is no longer there.
    [[nodiscard]] JournalRecord record_of(const IdEntry& entry) const;
    // The last record of the journal at `path`; nothing when it has none.
    [[nodiscard]] std::optional<JournalRecord> last_record(const std::string& journal_path) const;
    // The last one of a picture.
    [[nodiscard]] std::optional<JournalRecord> last_picture(const std::string& journal_path) const;
    [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }

  private:
    IdTable table_;
    std::vector<std::string> paths_;
    // Where the last records begin, in the order of paths_.
    struct Ends {
        std::optional<std::uint64_t> record, picture;
    };
    [[nodiscard]] JournalRecord record_at(const std::string& path, std::uint64_t offset) const;
    [[nodiscard]] std::optional<JournalRecord> last(const std::string& journal_path,
                                                    std::optional<std::uint64_t> Ends::* which) const;
    std::vector<Ends> ends_;
};

// The time now, UTC, ISO 8601 with milliseconds.
[[nodiscard]] std::string utc_now();

}  // namespace t2i::batch
