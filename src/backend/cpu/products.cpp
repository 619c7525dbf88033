#include "backend/cpu/products.h"

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
    const std::int64_t x = row % w.out_width, y = row / w.out_width % w.out_height,
                       b = row / (w.out_width * w.out_height);
    const auto* data = static_cast<const std::byte*>(w.x.data);
    std::int64_t tap = 0;
    for (std::int64_t i = 0; i < w.kernel_height; ++i)
        for (std::int64_t j = 0; j < w.kernel_width; ++j, ++tap) {
            const std::int64_t from_y = y * w.stride + i - w.top, from_x = x * w.stride + j - w.left;
            const bool inside = from_y >= 0 && from_y < w.height && from_x >= 0 && from_x < w.width;
            const std::int64_t pixel = (b * w.height + from_y) * w.width + from_x;
            visit(tap, inside ? data + static_cast<std::size_t>(pixel * w.channels) * size_of(w.x.dtype)
                              : nullptr);
        }
}

}  // namespace

Windows Windows::of_matrix(const TensorView& x) {
    const std::int64_t m = x.shape.rows();
    return {.x = x,
            .height = m,
            .width = 1,
            .channels = x.shape.columns(),
            .out_height = m,
            .out_width = 1,
            .rows = m};
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

struct Products::F32Weight final : PackedWeight {
    Buffer panels;
};

struct Products::Bf16Weight final : PackedWeight {
    std::vector<Bf16Matmul::WeightTile>
        tiles;  // each of Bf16Matmul::tile_columns columns, the last of what is left
};

std::unique_ptr<PackedWeight> Products::pack_linear(const TensorView& weight, DType compute) {
    auto packed = pack(weight, compute, weight.shape[0], weight.shape[1]);
    packed->shape = weight.shape;
    return packed;
}

std::unique_ptr<PackedWeight> Products::pack_conv2d(const TensorView& weight, DType compute) {
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
                out[static_cast<std::size_t>(o * k + t * s[1] + c)] =
                    values[static_cast<std::size_t>(o * k + c * taps + t)];
    auto packed = pack(windows, compute, s[0], k);
    packed->shape = s;
    return packed;
}

std::unique_ptr<PackedWeight> Products::pack(const TensorView& weight, DType compute, std::int64_t n,
                                             std::int64_t k) {
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
    for (std::int64_t begin = 0; begin < n; begin += Bf16Matmul::tile_columns) {
        const std::int64_t columns = std::min(Bf16Matmul::tile_columns, n - begin);
        std::vector<float> values(static_cast<std::size_t>(columns * k));
        std::vector<std::uint16_t> rounded(values.size());
        convert_to_f32(from_row(begin), weight.dtype, values.size(), values.data());
        convert({values.data(), false}, columns * k, {rounded.data(), true});
        packed->tiles.push_back(bf16_.pack(rounded.data(), columns, k));
    }
    return packed;
}

void Products::multiply(const Windows& windows, const PackedWeight& weight, const Epilogue& epilogue) {
    if (const auto* f32 = dynamic_cast<const F32Weight*>(&weight))
        return multiply_f32(windows, *f32, epilogue);
    const auto* bf16 = dynamic_cast<const Bf16Weight*>(&weight);
    T2I_CHECK(bf16 != nullptr, "a weight packed by another backend");
    multiply_bf16(windows, *bf16, epilogue);
}

void Products::multiply_f32(const Windows& w, const F32Weight& weight, const Epilogue& epilogue) {
    // Tiles of about 48 x 64: four panels and the rows they meet fit the second-level cache at K = 1152, and
    // 32 x 256, the smallest product of a step, still makes four parts. Neighbouring parts share their
    // panels.
    constexpr std::int64_t tile_rows = 48, tile_columns = 64;
    const std::int64_t n = weight.shape[0], taps = w.taps();
    const std::int64_t rows =
        std::min(tile_rows, round_up(divide_up(w.rows, divide_up(w.rows, tile_rows)), panel_rows()));
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

void Products::multiply_bf16(const Windows& w, const Bf16Weight& weight, const Epilogue& epilogue) {
    constexpr std::int64_t tall = Bf16Matmul::tall_rows, low = Bf16Matmul::short_rows;
    const std::int64_t k = w.taps() * w.channels;
    const std::int64_t tall_tiles = w.rows / tall, low_tiles = divide_up(w.rows % tall, low);
    const std::int64_t row_tiles = tall_tiles + low_tiles;
    const std::size_t pixel_bytes = static_cast<std::size_t>(w.channels) * sizeof(std::uint16_t);
    const std::size_t gathered_bytes =
        static_cast<std::size_t>(round_up(tall * k, 32)) * sizeof(std::uint16_t);
    const std::size_t sums_bytes = static_cast<std::size_t>(tall * Bf16Matmul::tile_columns) * sizeof(float);
    std::size_t library_bytes = 0;
    for (const auto& tile : weight.tiles)
        library_bytes = std::max(library_bytes, Bf16Matmul::scratch_bytes(tile));
    workers_.reserve(gathered_bytes + sums_bytes + library_bytes);

    workers_.run(row_tiles * static_cast<std::int64_t>(weight.tiles.size()), [&](std::int64_t part,
                                                                                 void* scratch) {
        const std::int64_t i = part % row_tiles, column_tile = part / row_tiles;
        const std::int64_t height = i < tall_tiles ? tall : low;
        const std::int64_t row_begin = i < tall_tiles ? i * tall : tall_tiles * tall + (i - tall_tiles) * low;
        const std::int64_t count = std::min(height, w.rows - row_begin),
                           column_begin = column_tile * Bf16Matmul::tile_columns;
        auto* gathered = static_cast<std::byte*>(scratch);
        auto* sums = reinterpret_cast<float*>(gathered + gathered_bytes);
        const auto& tile = weight.tiles[static_cast<std::size_t>(column_tile)];

        const auto* x = static_cast<const std::uint16_t*>(w.x.data) + row_begin * k;
        if (w.taps() > 1 || w.stride > 1 || w.top > 0 || w.left > 0 || count < height) {
            // Rows that do not lie in memory as one matrix are gathered; rows that are not there are zero.
            std::memset(gathered, 0, static_cast<std::size_t>(height * k) * sizeof(std::uint16_t));
            for (std::int64_t r = 0; r < count; ++r)
                visit_taps(w, row_begin + r, [&](std::int64_t tap, const void* pixel) {
                    const auto at = static_cast<std::size_t>(r * w.taps() + tap) * pixel_bytes;
                    if (pixel) std::memcpy(gathered + at, pixel, pixel_bytes);
                });
            x = reinterpret_cast<const std::uint16_t*>(gathered);
        }
        bf16_.run(tile, x, height, sums, gathered + gathered_bytes + sums_bytes);
        finish_tile(sums, tile.columns, row_begin, count, column_begin, column_begin + tile.columns,
                    epilogue);
    });
}

}  // namespace t2i::cpu
