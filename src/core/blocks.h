// Block types: rows of weights in blocks of a few bits for each value, with scales that a block shares. The layouts are GGUF's
// (ggml-common.h of the ggml project); kernels unpack them on their own, and these functions are the truth they are tested by.
#pragma once

#include <cstddef>
#include <optional>

#include "core/dtype.h"

namespace t2i {

// `count` values, whole blocks at `from` (any alignment) → f32.
void unpack_blocks(const void* from, DType dtype, std::size_t count, float* to);

// `count` values, whole blocks → blocks at `to`, bytes_of(dtype, count). The values are finite. q8_0 and q4_0 as GGUF's reference
// defines them, byte for byte; q4_k, q5_k and q6_k by a search of our own for scales of the least squared error, the same bytes
// on every machine that rounds each operation. Throws Error{input} for values so large that a scale leaves f16.
// Blocks are independent of each other, so any number of threads may each pack some.
void pack_blocks(const float* from, std::size_t count, DType dtype, void* to);

// Of `blocks` blocks the first with a scale that is NaN or Inf; nothing: there is none.
[[nodiscard]] std::optional<std::size_t> first_non_finite_scale(const void* from, DType dtype, std::size_t blocks);

}  // namespace t2i
