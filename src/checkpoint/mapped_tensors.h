// The reader of a format that keeps tensors in a file as memory has them: safetensors, GGUF.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/mapped_file.h"
#include "checkpoint/reader.h"

namespace t2i {

// entries: in name order; offsets: of each entry's first byte, from the start of the file, which has all its bytes.
[[nodiscard]] std::unique_ptr<CheckpointReader> map_tensors(MappedFile file, std::vector<CheckpointReader::Entry> entries,
                                                            std::vector<std::size_t> offsets,
                                                            std::map<std::string, std::string> metadata);

}  // namespace t2i
