// Where the pictures of a batch go: a file each, or tar shards in WebDataset's form.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "batch/journal.h"
#include "batch/prepare.h"
#include "batch/shards.h"
#include "t2i/picture.h"

namespace t2i::batch {

// A picture on its way to the disk.
struct Written {
    Picture picture;                  // what was asked
    std::vector<std::uint8_t> bytes;  // of its file; emptied once they are there
    JournalRecord record;
};

class Outputs {
  public:
    virtual ~Outputs() = default;
    // One thread. Says that the picture will be written to its file, before write(): what a kill leaves there is known by that.
    virtual void announce(Picture& /*picture*/) {}
    // Several threads at once. Puts the file there, under its final name, synced; tar shards wait for commit(). Throws
    // NameRefused when the file system takes files, but none of this name; NameTaken where another file has it by now, which the
    // picture may not replace.
    virtual void write(Written& written) = 0;
    // One thread. After it the pictures survive a power cut and their records are complete but for the manifest's end.
    virtual void commit(std::span<Written> group) = 0;
    // Closes what is open. Nothing is written after it.
    virtual void finish() = 0;
    // The files below the output folder that have got their final names since the last call, whole. Called by commit()'s thread.
    [[nodiscard]] std::vector<std::string> take_finished() { return std::exchange(finished_, {}); }

  protected:
    std::vector<std::string> finished_;
};

struct OutputOptions {
    std::string folder;
    std::string name = "{id}";  // template of a file's name, without the extension
    bool webdataset = false;
    int samples_per_tar = 1000;
    PictureEncoding encoding{};  // passes check_encoding()
    bool sub_folders = false;    // more than most_flat_files are expected
};

constexpr std::size_t most_flat_files = 10'000;

// Where unfinished files of one process stand, below the output folder.
[[nodiscard]] std::string unfinished_folder(const std::string& folder, const Shard& shard);

// Makes the unfinished folder anew. known: what earlier runs left; an open tar shard of theirs is continued. lacks: hears of what
// the file system cannot do; outlives it. unrecorded: files of earlier runs that are in no journal (KeptFiles).
// Throws Error: invalid_argument (the field name), input (a folder that cannot be written).
[[nodiscard]] std::unique_ptr<Outputs> open_outputs(const OutputOptions& options, const Shard& shard, const JournalIndex& known,
                                                    FileSystemLacks& lacks, std::span<const std::string> unrecorded = {});

// The file of a picture below the output folder, by the name template. Throws Error{input} when it gets too long.
[[nodiscard]] std::string file_of(const OutputOptions& options, const Picture& picture);
// Throws Error{invalid_argument} about the field name: an unknown field, no {id}.
void check_name_template(const std::string& name);

// True when the journal's file holds the picture that the record names, byte for byte (quick: by its size alone).
[[nodiscard]] bool is_there(const std::string& folder, const JournalRecord& record, bool quick);

// Every process's, of those that are there.
[[nodiscard]] std::vector<std::string> unfinished_folders(const std::string& folder);
// Closes the tar shards that killed processes left open in their unfinished folders, up to the last sample in the journals.
void close_left_tars(const std::string& folder, const JournalIndex& index, std::span<const std::string> unfinished,
                     FileSystemLacks& lacks);

}  // namespace t2i::batch
