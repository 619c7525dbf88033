// Checkpoints of torch.save: a zip archive of a pickle and the bytes of its storages, or the one stream that PyTorch wrote before
// 1.6. Format: PyTorch 2.15, torch/serialization.py (_save, _load, _legacy_load).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/reader.h"

namespace t2i {

// Where a tensor's elements are in the file.
struct TorchPlace {
    std::size_t offset = 0;  // of the first one, from the start of the file
    std::size_t element_bytes = 0;
    std::vector<std::int64_t> strides{};  // in elements
    std::size_t swapped_bytes = 1;  // groups of so many bytes lie in the other order (a machine with the highest byte first)
};

struct TorchLayout {
    std::vector<CheckpointReader::Entry> entries{};  // in name order
    std::vector<TorchPlace> places{};                // of each entry, all of whose elements lie in the file
    std::string weights{};                           // as CheckpointReader::weights()
};

// Reads and checks a whole file in memory, without running anything of its pickle. Throws Error{input} naming `path`, as
// parse_zip(), read_pickle() and read_torch_objects() do, and for: another kind of archive, a storage that is missing, compressed
// or too short.
[[nodiscard]] TorchLayout parse_torch_zip(std::span<const std::byte> file, const std::string& path);
[[nodiscard]] TorchLayout parse_torch_stream(std::span<const std::byte> file, const std::string& path);

// Tensors whose elements lie in order are used where they are; others (strides, another order of bytes) are put in order when
// they are first asked for, and kept.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_torch_zip(const std::string& path);
[[nodiscard]] std::unique_ptr<CheckpointReader> open_torch_stream(const std::string& path);

}  // namespace t2i
