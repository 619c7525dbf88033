// What of an output folder a run must leave alone: a file that is in no journal is somebody's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "batch/journal.h"
#include "batch/prepare.h"
#include "batch/shards.h"

namespace t2i::batch {

class ModelIdentity;

// The list, in an unfinished folder, of the files that a run is about to write.
[[nodiscard]] std::string announced_names(const std::string& unfinished_folder);

// Between a picture's file and its line in the journal a run can be killed. Such files are found by the list of names that it
// left.
class KeptFiles {
  public:
    // Looks at what killed runs left, so before that is removed; a shard passes over the others of its split, which may be at
    // work. Throws Error{input}.
    KeptFiles(std::string folder, const Shard& shard, const JournalIndex& index);

    // Claims the file that a picture names, for a run and for its rehearsal. Why it cannot have it: an earlier picture of this
    // run has claimed it, or somebody's file is there. Empty: nothing is there, or what is there is its own: of the journal's
    // record, of a killed run, or it says that it is the same picture (`model` tells its parameters). One thread.
    [[nodiscard]] std::string claim(const Picture& picture, const ModelIdentity& model);

    // Files that are there and in no journal, although earlier runs wrote them.
    [[nodiscard]] std::span<const std::string> unrecorded() const { return unrecorded_; }

  private:
    std::string folder_;
    std::vector<std::string> unrecorded_;
    IdTable claimed_;  // files, by hash of their names
};

}  // namespace t2i::batch
