// One dictionary out of a file that nests several.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/reader.h"

namespace t2i {

// The entries whose names begin with `dictionary` and a dot, without these; of an empty one all entries as they are. Throws
// Error{input} naming the file and what there is at that level when no entry is.
[[nodiscard]] std::unique_ptr<CheckpointReader> take_dictionary(std::unique_ptr<CheckpointReader> reader,
                                                                const std::string& dictionary);

}  // namespace t2i
