// Matrix products and convolutions as tiles: how a product is cut, and one tile of it. A tile needs nothing of the others, so
// the backend may make them on any threads and in any order; neither changes a bit.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {

// The rows of the left matrix: row m is what the filter sees at output pixel m, tap by tap, channels
// innermost. A plain matrix [M, K] is a picture of M x 1 pixels under a 1 x 1 filter.
struct Windows {
    Elements x;  // [B, height, width, channels]
    std::int64_t height, width, channels;
    std::int64_t kernel_height = 1, kernel_width = 1, stride = 1;
    std::int64_t top = 0, left = 0;  // zeros before the first row and column
    std::int64_t out_height, out_width;
    std::int64_t rows;  // B · out_height · out_width

    [[nodiscard]] std::int64_t taps() const { return kernel_height * kernel_width; }
};

// How a product is cut: tile t has rows of row tile t mod row_tiles, columns of column tile t / row_tiles.
struct MatmulTiles {
    std::int64_t rows, columns;  // of a tile; those at the ends may be smaller
    std::int64_t row_tiles, column_tiles;
    std::size_t scratch_bytes;  // for one tile
    [[nodiscard]] std::int64_t count() const { return row_tiles * column_tiles; }
};

// out = epilogue(windows · weightᵀ), multiplied in f32; the weight is packed by pack_panels, epilogue.columns are its rows.
struct MatmulF32 {
    Windows windows;  // x in f32
    const float* panels;
    const float* zeros;  // [channels]: what windows see outside the picture
    const Epilogue& epilogue;
};
MatmulTiles tiles_of(const MatmulF32& m);
void matmul_tile(const MatmulF32& m, const MatmulTiles& tiles, std::int64_t tile, void* scratch);

// The same multiplied in bf16; the weight is packed by pack_bf16.
struct MatmulBf16 {
    Windows windows;  // x in bf16
    Bf16Kernel kernel;
    const std::uint16_t* panels;
    std::int64_t k;        // of the packed weight, a multiple of bf16_step
    std::int64_t threads;  // that make tiles at the same time: each prefetches its share of the next weights
    const Epilogue& epilogue;
};
MatmulTiles tiles_of(const MatmulBf16& m);
void matmul_tile(const MatmulBf16& m, const MatmulTiles& tiles, std::int64_t tile, void* scratch);

// Filters [Cout, Cin, taps] → [Cout, taps · Cin], the order of a window.
void filters_as_windows(const float* filters, std::int64_t out_channels, std::int64_t in_channels, std::int64_t taps, float* to);

}  // namespace t2i::cpu
