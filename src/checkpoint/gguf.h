// GGUF, the container of ggml and llama.cpp: a header, keys with values, a table of tensors, then the tensors.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, src/gguf.cpp; versions 2 and 3, which differ in nothing
// here.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checkpoint/reader.h"
#include "checkpoint/writer.h"

namespace t2i {

struct GgufLayout {
    std::vector<CheckpointReader::Entry>
        entries;                       // in name order; shapes as PyTorch has them, the last dimension in order in memory
    std::vector<std::size_t> offsets;  // of each entry's first byte, from the start of the file
    std::map<std::string, std::string> metadata;  // values as text; of lists how many they have: "[32128 texts]"
};

// Reads and checks the header of a whole file in memory. Tensors of every known type are listed, also of those that nothing here
// can unpack. Its memory is bounded by the file's size. Throws Error{input} naming `path`, the tensor or the key: another
// version, another order of bytes, cut short, a name that is not UTF-8 or stands there twice, a type that is unknown, a size that
// overflows or leads out of the file, tensors that overlap, rows that are no whole blocks.
[[nodiscard]] GgufLayout parse_gguf(std::span<const std::byte> file, const std::string& path);

[[nodiscard]] std::unique_ptr<CheckpointReader> open_gguf(const std::string& path);

using GgufValue = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::int32_t>, std::vector<float>,
                               std::vector<std::string>>;

// Writes version 3, tensor by tensor in the order of `tensors` (checkpoint/writer.h). ggml itself reads names of up to 63 bytes.
// The file appears under its name only once it is whole, as `file` says. Throws Error{input} when it cannot be written.
void write_gguf(const std::string& path, std::span<const PlannedTensor> tensors,
                std::span<const std::pair<std::string, GgufValue>> metadata, const WriteTensor& write_tensor,
                const AtomicFileOptions& file = {.sync = false});

}  // namespace t2i
