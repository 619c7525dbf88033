// A checkpoint split over several files of any format, listed by `*.index.json` (huggingface_hub's {"metadata": {…},
// "weight_map": {tensor: file}}). As diffusers and transformers do, the index is asked for its shards alone, and the shards say
// what they hold.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "checkpoint/reader.h"

namespace t2i {

// Tensor name → shard file name. Throws Error{input} naming `where`: not JSON, no weight_map, a duplicate
// key, or a shard that is not a plain file name (a path could lead out of the folder).
[[nodiscard]] std::map<std::string, std::string> parse_shard_index(std::string_view json, const std::string& where);

// Opens the index and every shard that it names, in order of name: of a tensor that several hold, the last one counts. Throws
// Error{input} naming a file.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_sharded(const std::string& index_path);

}  // namespace t2i
