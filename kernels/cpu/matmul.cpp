#include "kernels/cpu/matmul.h"

#include <algorithm>
#include <cstring>

namespace t2i::cpu {
namespace {

constexpr std::int64_t cache_line = 64;  // bytes

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

// Calls visit(tap, pixel) for the taps of output pixel `row`; pixel is null outside the picture.
template <typename T, typename Visit>
void visit_taps(const Windows& w, std::int64_t row, Visit visit) {
    const std::int64_t x = row % w.out_width, y = row / w.out_width % w.out_height, b = row / (w.out_width * w.out_height);
    const auto* data = static_cast<const T*>(w.x.data);
    std::int64_t tap = 0;
    for (std::int64_t i = 0; i < w.kernel_height; ++i)
        for (std::int64_t j = 0; j < w.kernel_width; ++j, ++tap) {
            const std::int64_t from_y = y * w.stride + i - w.top, from_x = x * w.stride + j - w.left;
            const bool inside = from_y >= 0 && from_y < w.height && from_x >= 0 && from_x < w.width;
            const std::int64_t pixel = (b * w.height + from_y) * w.width + from_x;
            visit(tap, inside ? data + pixel * w.channels : nullptr);
        }
}

// Whether rows must be gathered: they do not lie in memory as one matrix, or do not end at a whole step.
bool gathers(const MatmulBf16& m) {
    const Windows& w = m.windows;
    return w.taps() > 1 || w.stride > 1 || w.top > 0 || w.left > 0 || w.channels != m.k;
}

// Rows of a tile as one matrix, rows of K padded with zeros.
void gather_rows(const MatmulBf16& m, std::int64_t begin, std::int64_t count, std::uint16_t* to) {
    const std::int64_t channels = m.windows.channels;
    std::fill_n(to, count * m.k, std::uint16_t{0});
    for (std::int64_t r = 0; r < count; ++r)
        visit_taps<std::uint16_t>(m.windows, begin + r, [&](std::int64_t tap, const std::uint16_t* pixel) {
            if (pixel)
                std::memcpy(to + r * m.k + tap * channels, pixel, static_cast<std::size_t>(channels) * sizeof(std::uint16_t));
        });
}

// What a thread does while its tiles multiply (Bf16Rows::overlapped): it finishes the sums of the panel before, and prefetches
// the output of the panel that is multiplied and weights that are wanted later.
struct OverlappedWork {
    const Epilogue& epilogue;
    std::int64_t row_begin;
    std::int64_t rows_a_call;
    const std::byte* next_weights;
    std::int64_t lines_a_call;
    const float* sums = nullptr;
    std::int64_t rows = 0, rows_left = 0, column = 0, column_end = 0;
    std::byte* out = nullptr;  // of the panel that is multiplied
    std::int64_t out_left = 0, out_stride = 0;

    void finish(std::int64_t count) {
        if (count == 0) return;
        const std::int64_t row = rows - rows_left;
        finish_tile(sums + row * bf16_panel, bf16_panel, row_begin + row, count, column, column_end, epilogue);
        rows_left -= count;
    }
    static void call(void* context) {
        auto& self = *static_cast<OverlappedWork*>(context);
        self.finish(std::min(self.rows_left, self.rows_a_call));
        for (std::int64_t i = std::min(self.out_left, self.rows_a_call); i > 0;
             --i, --self.out_left, self.out += self.out_stride) {
            __builtin_prefetch(self.out, 1, 2);
            if (!self.epilogue.out.is_bf16) __builtin_prefetch(self.out + cache_line, 1, 2);
        }
        for (std::int64_t i = 0; i < self.lines_a_call; ++i, self.next_weights += cache_line)
            __builtin_prefetch(self.next_weights, 0, 2);
    }
};

}  // namespace

MatmulTiles tiles_of(const MatmulF32& m) {
    // Tiles of about 48 x 64: four panels and the rows they meet fit the second-level cache at K = 1152, and
    // 32 x 256, the smallest product of a step, still makes four parts. Neighbouring parts share their
    // panels.
    constexpr std::int64_t tile_rows = 48, tile_columns = 64;
    const std::int64_t all = m.windows.rows, even = divide_up(all, divide_up(all, tile_rows)),
                       rows = std::min(tile_rows, divide_up(even, panel_rows()) * panel_rows());
    return {.rows = rows,
            .columns = tile_columns,
            .row_tiles = divide_up(all, rows),
            .column_tiles = divide_up(m.epilogue.columns, tile_columns),
            .scratch_bytes = static_cast<std::size_t>(rows * m.windows.taps()) * sizeof(const float*)};
}

void matmul_tile(const MatmulF32& m, const MatmulTiles& tiles, std::int64_t tile, void* scratch) {
    const Windows& w = m.windows;
    const std::int64_t row_begin = tile % tiles.row_tiles * tiles.rows, count = std::min(tiles.rows, w.rows - row_begin);
    const std::int64_t column_begin = tile / tiles.row_tiles * tiles.columns;
    auto** pointers = static_cast<const float**>(scratch);
    for (std::int64_t r = 0; r < count; ++r)
        visit_taps<float>(w, row_begin + r,
                          [&](std::int64_t tap, const float* pixel) { pointers[tap * count + r] = pixel ? pixel : m.zeros; });
    product_tile({.rows = pointers,
                  .taps = w.taps(),
                  .k = w.channels,
                  .row_begin = row_begin,
                  .row_count = count,
                  .column_begin = column_begin,
                  .column_end = std::min(m.epilogue.columns, column_begin + tiles.columns),
                  .panels = m.panels},
                 m.epilogue);
}

MatmulTiles tiles_of(const MatmulBf16& m) {
    constexpr std::int64_t most_columns = 512;
    constexpr std::int64_t tile_rows = 64;      // sums of 64 x 32 stay in the first-level cache until they are finished
    constexpr std::int64_t cached = 600 << 10;  // bytes of a tile's weights: in the second-level cache with its rows
    const std::int64_t column_bytes = m.k * static_cast<std::int64_t>(sizeof(std::uint16_t));
    const std::int64_t cut_columns =
        std::clamp(cached / column_bytes / bf16_panel, std::int64_t{1}, std::int64_t{4}) * bf16_panel;
    const std::int64_t columns = gathers(m) ? most_columns : cut_columns;  // rows are gathered once for all columns
    const std::size_t gathered_bytes = gathers(m) ? static_cast<std::size_t>(tile_rows * column_bytes) : 0;
    return {.rows = tile_rows,
            .columns = columns,
            .row_tiles = divide_up(m.windows.rows, tile_rows),
            .column_tiles = divide_up(m.epilogue.columns, columns),
            .scratch_bytes = gathered_bytes + 2 * static_cast<std::size_t>(tile_rows * bf16_panel) * sizeof(float)};
}

void matmul_tile(const MatmulBf16& m, const MatmulTiles& tiles, std::int64_t tile, void* scratch) {
    const std::int64_t n = m.epilogue.columns, column_bytes = m.k * static_cast<std::int64_t>(sizeof(std::uint16_t));
    const std::int64_t row_tile = tile % tiles.row_tiles, row_begin = row_tile * tiles.rows,
                       count = std::min(tiles.rows, m.windows.rows - row_begin);
    const std::int64_t column_begin = tile / tiles.row_tiles * tiles.columns,
                       column_end = std::min(n, column_begin + tiles.columns);
    const auto* x = static_cast<const std::uint16_t*>(m.windows.x.data);
    auto* both_sums = static_cast<float*>(scratch);
    if (gathers(m)) {
        auto* gathered = static_cast<std::uint16_t*>(scratch);
        gather_rows(m, row_begin, count, gathered);
        x = gathered;
        both_sums = reinterpret_cast<float*>(gathered + tiles.rows * m.k);
    } else {
        x += row_begin * m.k;
    }
    // A large model's weights come from memory in every step. The threads go through a tile of columns side by side, and
    // each prefetches its share of the next one meanwhile.
    const auto* panels = reinterpret_cast<const std::byte*>(m.panels);
    const std::int64_t shares = divide_up(tiles.row_tiles, m.threads);
    const std::int64_t next_bytes = divide_up(std::min(n - column_end, tiles.columns), bf16_panel) * bf16_panel * column_bytes;
    const std::int64_t calls_a_panel = m.k / bf16_step * divide_up(count, bf16_panel),
                       calls = divide_up(column_end - column_begin, bf16_panel) * calls_a_panel;
    OverlappedWork overlapped{.epilogue = m.epilogue,
                              .row_begin = row_begin,
                              .rows_a_call = divide_up(count, calls_a_panel),
                              .next_weights = panels + column_end * column_bytes + row_tile / m.threads * (next_bytes / shares),
                              .lines_a_call = divide_up(next_bytes / cache_line, shares * calls)};
    const std::int64_t out_bytes = m.epilogue.out.is_bf16 ? sizeof(std::uint16_t) : sizeof(float);
    for (std::int64_t column = column_begin; column < column_end; column += bf16_panel) {
        overlapped.out = static_cast<std::byte*>(m.epilogue.out.data) + (row_begin * n + column) * out_bytes;
        overlapped.out_stride = n * out_bytes;
        overlapped.out_left = count;
        float* sums = both_sums + column / bf16_panel % 2 * tiles.rows * bf16_panel;
        multiply_bf16(m.kernel,
                      {.x = x,
                       .more = nullptr,
                       .stride = m.k,
                       .rows = count,
                       .steps = m.k / bf16_step,
                       .panel = reinterpret_cast<const std::uint16_t*>(panels + column * column_bytes),
                       .panels = 1,
                       .panel_stride = 0,
                       .sums_stride = bf16_panel,
                       .overlapped = OverlappedWork::call,
                       .context = &overlapped},
                      sums);
        overlapped.finish(overlapped.rows_left);
        overlapped.sums = sums;
        overlapped.rows_left = overlapped.rows = count;
        overlapped.column = column;
        overlapped.column_end = std::min(column_end, column + bf16_panel);
    }
    overlapped.finish(overlapped.rows_left);
}

void filters_as_windows(const float* filters, std::int64_t out_channels, std::int64_t in_channels, std::int64_t taps, float* to) {
    for (std::int64_t o = 0; o < out_channels; ++o)
        for (std::int64_t c = 0; c < in_channels; ++c)
            for (std::int64_t t = 0; t < taps; ++t)
                to[(o * taps + t) * in_channels + c] = filters[(o * in_channels + c) * taps + t];
}

}  // namespace t2i::cpu
