#include "backend/cpu/matmuls.h"

#include <cstring>
#include <vector>

namespace t2i::cpu {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}
std::int64_t round_up(std::int64_t a, std::int64_t b) {
    return divide_up(a, b) * b;
}

// Calls visit(tap, pixel) for the taps of output pixel `row`; pixel is null outside the picture.
template <typename Visit>
void visit_taps(const Windows& w, std::int64_t row, Visit visit) {
    const std::int64_t x = row % w.out_width, y = row / w.out_width % w.out_height, b = row / (w.out_width * w.out_height);
    const auto* data = static_cast<const std::byte*>(w.x.data);
    std::int64_t tap = 0;
    for (std::int64_t i = 0; i < w.kernel_height; ++i)
        for (std::int64_t j = 0; j < w.kernel_width; ++j, ++tap) {
            const std::int64_t from_y = y * w.stride + i - w.top, from_x = x * w.stride + j - w.left;
            const bool inside = from_y >= 0 && from_y < w.height && from_x >= 0 && from_x < w.width;
            const std::int64_t pixel = (b * w.height + from_y) * w.width + from_x;
            visit(tap, inside ? data + static_cast<std::size_t>(pixel * w.channels) * size_of(w.x.dtype) : nullptr);
        }
}

}  // namespace

Windows Windows::of_matrix(const TensorView& x) {
    const std::int64_t m = x.shape.rows();
    return {.x = x, .height = m, .width = 1, .channels = x.shape.columns(), .out_height = m, .out_width = 1, .rows = m};
}

Windows Windows::of_picture(const Conv2dArgs& a) {
    const Shape &x = a.x.shape, &w = a.weight->shape, &out = a.out.shape;
    return {.x = a.x,
            .height = x[1],
            .width = x[2],
            .channels = x[3],
            .kernel_height = w[2],
            .kernel_width = w[3],
            .stride = a.stride,
            .top = a.padding[0],
            .left = a.padding[1],
            .out_height = out[1],
            .out_width = out[2],
            .rows = out[0] * out[1] * out[2]};
}

struct Matmuls::F32Weight final : PackedWeight {
    Buffer panels;
};

struct Matmuls::Bf16Weight final : PackedWeight {
    Buffer panels;
    std::int64_t k = 0;  // padded
};

std::unique_ptr<PackedWeight> Matmuls::pack_linear(const TensorView& weight, DType compute) {
    auto packed = pack(weight, compute, weight.shape[0], weight.shape[1]);
    packed->shape = weight.shape;
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack_conv2d(const TensorView& weight, DType compute) {
    // [Cout, Cin, KH, KW] → [Cout, KH·KW·Cin], the order of a window.
    const Shape& s = weight.shape;
    const std::int64_t taps = s[2] * s[3], k = s[1] * taps;
    std::vector<float> values(static_cast<std::size_t>(weight.elements()));
    convert_to_f32(weight.data, weight.dtype, values.size(), values.data());
    Tensor windows = Tensor::host({s[0], k});
    const auto out = windows.as<float>();
    for (std::int64_t o = 0; o < s[0]; ++o)
        for (std::int64_t c = 0; c < s[1]; ++c)
            for (std::int64_t t = 0; t < taps; ++t)
                out[static_cast<std::size_t>(o * k + t * s[1] + c)] = values[static_cast<std::size_t>(o * k + c * taps + t)];
    auto packed = pack(windows, compute, s[0], k);
    packed->shape = s;
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack(const TensorView& weight, DType compute, std::int64_t n, std::int64_t k) {
    const auto* bytes = static_cast<const std::byte*>(weight.data);
    const std::size_t row_bytes = static_cast<std::size_t>(k) * size_of(weight.dtype);
    const auto from_row = [&](std::int64_t row) { return bytes + static_cast<std::size_t>(row) * row_bytes; };
    if (compute == DType::f32) {
        auto packed = std::make_unique<F32Weight>();
        const std::int64_t width = panel_width();
        packed->panels = Buffer::host(static_cast<std::size_t>(round_up(n, width) * k) * sizeof(float));
        workers_.reserve(static_cast<std::size_t>(width * k) * sizeof(float));
        workers_.run(divide_up(n, width), [&](std::int64_t panel, void* scratch) {
            const std::int64_t begin = panel * width, rows = std::min(width, n - begin);
            auto* values = static_cast<float*>(scratch);
            convert_to_f32(from_row(begin), weight.dtype, static_cast<std::size_t>(rows * k), values);
            pack_panels(values, rows, k, k, static_cast<float*>(packed->panels.data()) + begin * k);
        });
        return packed;
    }
    auto packed = std::make_unique<Bf16Weight>();
    packed->compute = DType::bf16;
    packed->k = round_up(k, bf16_step);
    const std::int64_t panel_elements = bf16_panel * packed->k;
    packed->panels = Buffer::host(static_cast<std::size_t>(divide_up(n, bf16_panel) * panel_elements) * sizeof(std::uint16_t));
    const auto values_bytes = static_cast<std::size_t>(bf16_panel * k) * sizeof(float);
    workers_.reserve(values_bytes + values_bytes / 2);
    workers_.run(divide_up(n, bf16_panel), [&](std::int64_t panel, void* scratch) {
        const std::int64_t begin = panel * bf16_panel, rows = std::min(bf16_panel, n - begin);
        auto* values = static_cast<float*>(scratch);
        auto* rounded = reinterpret_cast<std::uint16_t*>(static_cast<std::byte*>(scratch) + values_bytes);
        convert_to_f32(from_row(begin), weight.dtype, static_cast<std::size_t>(rows * k), values);
        convert({values, false}, rows * k, {rounded, true});
        pack_bf16(rounded, rows, k, k, static_cast<std::uint16_t*>(packed->panels.data()) + panel * panel_elements);
    });
    return packed;
}

void Matmuls::multiply(const Windows& windows, const PackedWeight& weight, const Epilogue& epilogue) {
    if (const auto* f32 = dynamic_cast<const F32Weight*>(&weight)) return multiply_f32(windows, *f32, epilogue);
    const auto* bf16 = dynamic_cast<const Bf16Weight*>(&weight);
    T2I_CHECK(bf16 != nullptr, "a weight packed by another backend");
    multiply_bf16(windows, *bf16, epilogue);
}

void Matmuls::multiply_f32(const Windows& w, const F32Weight& weight, const Epilogue& epilogue) {
    // Tiles of about 48 x 64: four panels and the rows they meet fit the second-level cache at K = 1152, and
    // 32 x 256, the smallest product of a step, still makes four parts. Neighbouring parts share their
    // panels.
    constexpr std::int64_t tile_rows = 48, tile_columns = 64;
    const std::int64_t n = weight.shape[0], taps = w.taps();
    const std::int64_t rows = std::min(tile_rows, round_up(divide_up(w.rows, divide_up(w.rows, tile_rows)), panel_rows()));
    const std::int64_t row_tiles = divide_up(w.rows, rows), column_tiles = divide_up(n, tile_columns);
    const std::size_t zero_bytes = static_cast<std::size_t>(w.channels) * sizeof(float);
    if (zeros_.bytes() < zero_bytes) zeros_ = Buffer::host(zero_bytes);
    workers_.reserve(static_cast<std::size_t>(rows * taps) * sizeof(const float*));

    workers_.run(row_tiles * column_tiles, [&](std::int64_t part, void* scratch) {
        const std::int64_t row_begin = part % row_tiles * rows, count = std::min(rows, w.rows - row_begin);
        const std::int64_t column_begin = part / row_tiles * tile_columns;
        auto** pointers = static_cast<const float**>(scratch);
        for (std::int64_t r = 0; r < count; ++r)
            visit_taps(w, row_begin + r, [&](std::int64_t tap, const void* pixel) {
                pointers[tap * count + r] = static_cast<const float*>(pixel ? pixel : zeros_.data());
            });
        product_tile({.rows = pointers,
                      .taps = taps,
                      .k = w.channels,
                      .row_begin = row_begin,
                      .row_count = count,
                      .column_begin = column_begin,
                      .column_end = std::min(n, column_begin + tile_columns),
                      .panels = static_cast<const float*>(weight.panels.data())},
                     epilogue);
    });
}

// What a thread does while its tiles multiply: it finishes the sums of the panel before, and asks for weights that are
// wanted later.
struct Matmuls::Beside {
    const Epilogue& epilogue;
    std::int64_t row_begin;
    std::int64_t rows_a_call;
    const std::byte* ahead;
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
        constexpr std::int64_t line = 64;
        auto& self = *static_cast<Beside*>(context);
        self.finish(std::min(self.rows_left, self.rows_a_call));
        for (std::int64_t i = std::min(self.out_left, self.rows_a_call); i > 0;
             --i, --self.out_left, self.out += self.out_stride) {
            __builtin_prefetch(self.out, 1, 2);
            if (!self.epilogue.out.is_bf16) __builtin_prefetch(self.out + line, 1, 2);
        }
        for (std::int64_t i = 0; i < self.lines_a_call; ++i, self.ahead += line) __builtin_prefetch(self.ahead, 0, 2);
    }
};

void Matmuls::multiply_bf16(const Windows& w, const Bf16Weight& weight, const Epilogue& epilogue) {
    constexpr std::int64_t most_columns = 512, line = 64;
    constexpr std::int64_t tile_rows = 64;      // sums of 64 x 32 stay in the first-level cache until they are finished
    constexpr std::int64_t cached = 600 << 10;  // bytes of a tile's weights: in the second-level cache with its rows
    const std::int64_t n = weight.shape[0], k = w.taps() * w.channels;
    // Rows that do not lie in memory as one matrix, or do not end at a whole step, are gathered, once for all columns.
    const bool gathers = w.taps() > 1 || w.stride > 1 || w.top > 0 || w.left > 0 || k != weight.k;
    const std::int64_t column_bytes = weight.k * static_cast<std::int64_t>(sizeof(std::uint16_t));
    const std::int64_t cut_columns =
        std::clamp(cached / column_bytes / bf16_panel, std::int64_t{1}, std::int64_t{4}) * bf16_panel;
    const std::int64_t columns = gathers ? most_columns : cut_columns;
    const std::int64_t row_tiles = divide_up(w.rows, tile_rows), column_tiles = divide_up(n, columns);
    const std::size_t pixel_bytes = static_cast<std::size_t>(w.channels) * sizeof(std::uint16_t);
    const std::size_t gathered_bytes = gathers ? static_cast<std::size_t>(tile_rows * column_bytes) : 0;
    workers_.reserve(gathered_bytes + 2 * static_cast<std::size_t>(tile_rows * bf16_panel) * sizeof(float));
    // A large model's weights come from memory in every step. The threads go through a tile of columns side by side, and
    // each asks for its share of the next one meanwhile.
    const std::int64_t slices = divide_up(row_tiles, workers_.threads());

    workers_.run(row_tiles * column_tiles, [&](std::int64_t part, void* scratch) {
        const std::int64_t row_tile = part % row_tiles, row_begin = row_tile * tile_rows,
                           count = std::min(tile_rows, w.rows - row_begin);
        const std::int64_t column_begin = part / row_tiles * columns, column_end = std::min(n, column_begin + columns);
        auto* gathered = static_cast<std::byte*>(scratch);
        auto* both_sums = reinterpret_cast<float*>(gathered + gathered_bytes);
        const auto* x = static_cast<const std::uint16_t*>(w.x.data) + row_begin * k;
        if (gathers) {
            std::memset(gathered, 0, static_cast<std::size_t>(count * column_bytes));
            for (std::int64_t r = 0; r < count; ++r)
                visit_taps(w, row_begin + r, [&](std::int64_t tap, const void* pixel) {
                    if (pixel)
                        std::memcpy(gathered + r * column_bytes + static_cast<std::size_t>(tap) * pixel_bytes, pixel,
                                    pixel_bytes);
                });
            x = reinterpret_cast<const std::uint16_t*>(gathered);
        }
        const auto* panels = static_cast<const std::byte*>(weight.panels.data());
        const std::int64_t next_bytes = divide_up(std::min(n - column_end, columns), bf16_panel) * bf16_panel * column_bytes;
        const std::int64_t calls_a_panel = weight.k / bf16_step * divide_up(count, bf16_panel),
                           calls = divide_up(column_end - column_begin, bf16_panel) * calls_a_panel;
        Beside beside{.epilogue = epilogue,
                      .row_begin = row_begin,
                      .rows_a_call = divide_up(count, calls_a_panel),
                      .ahead = panels + column_end * column_bytes + row_tile / workers_.threads() * (next_bytes / slices),
                      .lines_a_call = divide_up(next_bytes / line, slices * calls)};
        for (std::int64_t column = column_begin; column < column_end; column += bf16_panel) {
            const std::int64_t size = epilogue.out.is_bf16 ? sizeof(std::uint16_t) : sizeof(float);
            beside.out = static_cast<std::byte*>(epilogue.out.data) + (row_begin * epilogue.columns + column) * size;
            beside.out_stride = epilogue.columns * size;
            beside.out_left = count;
            float* sums = both_sums + column / bf16_panel % 2 * tile_rows * bf16_panel;
            cpu::multiply_bf16(bf16_,
                               {.x = x,
                                .more = nullptr,
                                .stride = weight.k,
                                .rows = count,
                                .steps = weight.k / bf16_step,
                                .panel = reinterpret_cast<const std::uint16_t*>(panels + column * column_bytes),
                                .panels = 1,
                                .panel_stride = 0,
                                .sums_stride = bf16_panel,
                                .beside = Beside::call,
                                .context = &beside},
                               sums);
            beside.finish(beside.rows_left);
            beside.sums = sums;
            beside.rows_left = beside.rows = count;
            beside.column = column;
            beside.column_end = std::min(column_end, column + bf16_panel);
        }
        beside.finish(beside.rows_left);
    });
}

}  // namespace t2i::cpu
