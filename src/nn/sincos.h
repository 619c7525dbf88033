// Fixed sine and cosine positions of a grid of patches (DiT; diffusers, get_2d_sincos_pos_embed).
#pragma once

#include "core/tensor.h"

namespace t2i {

struct SincosGrid {
    std::int64_t rows, columns;  // patches
    std::int64_t base;           // patches a side at the size the model was made for
    double interpolation_scale;
};

// → [rows·columns, width] f32 host; the first half of a row encodes the column, the second half the row.
// width must be a multiple of 4.
[[nodiscard]] Tensor sincos_positions(const SincosGrid& grid, std::int64_t width);

}  // namespace t2i
