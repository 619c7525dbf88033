#include "kernels/cpu/block_matmul.h"

#include <algorithm>

namespace t2i::cpu {
namespace {

constexpr std::int64_t most_block_values = 256;
constexpr std::int64_t bf16_tile = 16;  // columns of a tile of a panel
constexpr std::int64_t tile_rows = 64;  // as other tiles of bf16; of f32 they are a little lower, which changes no bit

// Scratch memory of one part.
struct Scratch {
    float* panel;        // of all of k; as bf16 in half of it
    float* values;       // [columns, block values], one block of each column
    float* sums;         // [tile_rows, bf16_panel]
    const float** rows;  // [tile_rows]
};

Scratch scratch_of(const BlockMatmul& m, void* memory) {
    const std::int64_t width = block_columns(m);
    Scratch s{};
    s.panel = static_cast<float*>(memory);
    s.values = s.panel + width * m.k;
    s.sums = s.values + width * most_block_values;
    s.rows = reinterpret_cast<const float**>(s.sums + tile_rows * bf16_panel);
    return s;
}

// Values [begin, end) of each column, whole blocks, to the start of the panel.
void unpack_panel(const BlockMatmul& m, const BlockColumns& w, std::int64_t width, std::int64_t begin, std::int64_t end,
                  const Scratch& s) {
    const std::byte* blocks = w.blocks + begin / w.block_values * w.stride;
    for (std::int64_t k = 0; k < end - begin; k += w.block_values, blocks += w.stride) {
        if (m.kernel == Bf16Kernel::none) {
            unpack_blocks(w.type, blocks, w.block_bytes, width, s.values, w.block_values);
            pack_panels(s.values, width, w.block_values, w.block_values, s.panel + k * width);
            continue;
        }
        auto* panel = reinterpret_cast<std::uint16_t*>(s.panel) + k * width;
        for (std::int64_t row = 0; row < width; row += bf16_tile, panel += bf16_tile * bf16_step)
            unpack_bf16_tiles(w.type, blocks + row * w.block_bytes, w.block_bytes, panel);
    }
}

// Products of values [begin, end) with rows [row, row + count).
void multiply(const BlockMatmul& m, std::int64_t row, std::int64_t count, std::int64_t begin, std::int64_t end,
              const Scratch& s) {
    multiply_bf16(m.kernel,
                  {.x = static_cast<const std::uint16_t*>(m.x.data) + row * m.k + begin,
                   .more = nullptr,
                   .stride = m.k,
                   .rows = count,
                   .steps = (end - begin) / bf16_step,
                   .panel = reinterpret_cast<const std::uint16_t*>(s.panel),
                   .panels = 1,
                   .panel_stride = 0,
                   .sums_stride = bf16_panel,
                   .overlapped = nullptr,
                   .context = nullptr,
                   .goes_on = begin > 0},
                  s.sums);
}

}  // namespace

std::int64_t block_columns(const BlockMatmul& m) {
    return m.kernel == Bf16Kernel::none ? panel_width() : bf16_panel;
}

std::size_t block_scratch(const BlockMatmul& m) {
    const std::int64_t width = block_columns(m);
    const auto floats = static_cast<std::size_t>(width * m.k + width * most_block_values + tile_rows * bf16_panel);
    return floats * sizeof(float) + tile_rows * sizeof(const float*);
}

void block_columns_times_rows(const BlockMatmul& m, const BlockColumns& weights, std::int64_t column, void* scratch) {
    const std::int64_t width = block_columns(m), end = std::min(m.epilogue.columns, column + width);
    const Scratch s = scratch_of(m, scratch);
    if (m.kernel == Bf16Kernel::avx512 && m.rows == 1) {
        for (std::int64_t c = 0; c < width; c += bf16_tile) {
            BlockColumns tile = weights;
            tile.blocks += c * weights.block_bytes;
            multiply_block_tile(tile, static_cast<const std::uint16_t*>(m.x.data), m.k, s.sums + c);
        }
        finish_tile(s.sums, bf16_panel, 0, 1, column, end, m.epilogue);
        return;
    }
    if (m.kernel != Bf16Kernel::none && m.rows <= tile_rows) {
        // Few rows: what is unpacked is multiplied while it is in the first-level cache, 16 KB.
        for (std::int64_t k = 0; k < m.k; k += most_block_values) {
            const std::int64_t next = std::min(m.k, k + most_block_values);
            unpack_panel(m, weights, width, k, next, s);
            multiply(m, 0, m.rows, k, next, s);
        }
        finish_tile(s.sums, bf16_panel, 0, m.rows, column, end, m.epilogue);
        return;
    }
    unpack_panel(m, weights, width, 0, m.k, s);
    for (std::int64_t row = 0; row < m.rows; row += tile_rows) {
        const std::int64_t count = std::min(tile_rows, m.rows - row);
        if (m.kernel != Bf16Kernel::none) {
            multiply(m, row, count, 0, m.k, s);
            finish_tile(s.sums, bf16_panel, row, count, column, end, m.epilogue);
            continue;
        }
        for (std::int64_t r = 0; r < count; ++r) s.rows[r] = static_cast<const float*>(m.x.data) + (row + r) * m.k;
        product_tile({.rows = s.rows,
                      .taps = 1,
                      .k = m.k,
                      .row_begin = row,
                      .row_count = count,
                      .column_begin = column,
                      .column_end = end,
                      .first_panel_column = column,
                      .panels = s.panel},
                     m.epilogue);
    }
}

}  // namespace t2i::cpu
