// What the writers of checkpoints share: a plan of all tensors first, then the bytes of one after the other, so that no more than
// one of them need be in memory.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "core/files.h"
#include "core/tensor.h"

namespace t2i {

struct PlannedTensor {
    std::string name;
    DType dtype = DType::f32;
    Shape shape{};
    bool operator==(const PlannedTensor&) const = default;
};

// Takes the next bytes of a tensor, in as many pieces as its writer likes.
using ByteSink = std::function<void(std::span<const std::byte>)>;
// Gives all bytes of one tensor, row-major, to the sink. Called once for each, in the file's order. What it throws ends the file.
using WriteTensor = std::function<void(const PlannedTensor&, const ByteSink&)>;

// Calls `write_tensor` with a sink into `file`, and checks that it gave as many bytes as the tensor has.
void write_planned(AtomicFile& file, const PlannedTensor& tensor, const WriteTensor& write_tensor);

}  // namespace t2i
