// Kernels that only move elements.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {

// A row of `pixels` pixels of `pixel_bytes` each → two rows of twice as many.
void double_row(const void* x, std::int64_t pixels, std::size_t pixel_bytes, void* out);
// Pixels [begin, begin + count) of one picture: x [C, P] → out [P, C], and x [P, C] → out [C, P].
void channels_last(const float* x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count,
                   MutableElements out);
void channels_first(Elements x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count, float* out);

}  // namespace t2i::cpu
