// safetensors: an 8-byte little-endian length, a JSON header, then the tensors back to back.
// Format: https://github.com/huggingface/safetensors (README and safetensors/src/tensor.rs).
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/reader.h"
#include "checkpoint/writer.h"

namespace t2i {

// What the header of a safetensors file says, checked against the file's size.
struct SafetensorsLayout {
    std::vector<CheckpointReader::Entry> entries;  // in name order
    std::vector<std::size_t> offsets;              // of each entry's first byte, from the start of the file
    std::map<std::string, std::string> metadata;
};

// Reads and validates the header of a whole file in memory. Throws Error{input} naming `path`, the tensor and
// what is wrong: a length that does not fit, not UTF-8 JSON, duplicate or unknown keys, an unknown dtype, a
// size that disagrees with shape and dtype, a hole, an overlap, or bytes missing or left over at the end.
[[nodiscard]] SafetensorsLayout parse_safetensors(std::span<const std::byte> file, const std::string& path);

[[nodiscard]] std::unique_ptr<CheckpointReader> open_safetensors(const std::string& path);

struct NamedTensor {
    std::string name;
    TensorView tensor;  // host memory
};

// Writes tensors in the reference's order (widest dtype first, then by name) with a header padded to 8 bytes.
// The file appears under its name only once it is whole. Throws Error{input} when it cannot be written.
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});
// The same, one tensor after another (checkpoint/writer.h). Throws Error{input} naming a tensor of a block type, too.
void write_safetensors(const std::string& path, std::span<const PlannedTensor> tensors,
                       const std::map<std::string, std::string>& metadata, const WriteTensor& write_tensor,
                       const AtomicFileOptions& file = {.sync = false});

}  // namespace t2i
