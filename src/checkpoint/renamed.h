// A checkpoint under other names: tensors renamed, cut by rows, seen in another shape, scaled. Models ask for diffusers' and
// transformers' names; who published a file may have called, stacked and scaled its tensors otherwise.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/reader.h"

namespace t2i {

struct RenamedTensor {
    std::string name;              // as a model asks for it
    std::string source;            // as the checkpoint has it
    std::int64_t first_row = 0;    // of the source's first dimension, where only a part is taken
    std::int64_t rows = 0;         // 0: all of them
    std::optional<Shape> shape{};  // of as many elements as those rows have; none: the source's own
    std::string scale{};           // a tensor of one value that multiplies every element; empty: none
};

constexpr std::size_t scaled_tensors_kept = 8;

// What `table` says and nothing else: a tensor that it does not name as a source is not there. Sources may be named several
// times. A scaled tensor is converted to f32 when it is asked for, and its memory is kept until scaled_tensors_kept others were:
// a layer is packed by then, and an encoder of 8-bit floats four times as large would not fit. All others are the mapped file.
// Throws Error{input} naming the tensor and its file: no such source, rows or a shape that it does not have, a scale that is not
// one number, a name that stands in the table twice.
[[nodiscard]] std::unique_ptr<CheckpointReader> rename_tensors(std::unique_ptr<CheckpointReader> reader,
                                                               std::vector<RenamedTensor> table);

}  // namespace t2i
