#include "backend/cpu/matmuls.h"

#include <vector>

#include "backend/kernel_arguments.h"

namespace t2i::cpu {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}
std::int64_t round_up(std::int64_t a, std::int64_t b) {
    return divide_up(a, b) * b;
}

// Makes every tile of a product, on all threads.
template <typename Product>
void run_tiles(Workers& workers, const Product& product) {
    const MatmulTiles tiles = tiles_of(product);
    workers.reserve(tiles.scratch_bytes);
    workers.run(tiles.count(), [&](std::int64_t tile, void* scratch) { matmul_tile(product, tiles, tile, scratch); });
}

}  // namespace

Windows windows_of(const TensorView& x) {
    const std::int64_t m = x.shape.rows();
    return {.x = elements(x), .height = m, .width = 1, .channels = x.shape.columns(), .out_height = m, .out_width = 1, .rows = m};
}

Windows windows_of(const Conv2dArgs& a) {
    const Shape &x = a.x.shape, &w = a.weight->shape, &out = a.out.shape;
    return {.x = elements(a.x),
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
    filters_as_windows(values.data(), s[0], s[1], taps, windows.as<float>().data());
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

void Matmuls::multiply_f32(const Windows& windows, const F32Weight& weight, const Epilogue& epilogue) {
    const std::size_t zero_bytes = static_cast<std::size_t>(windows.channels) * sizeof(float);
    if (zeros_.bytes() < zero_bytes) zeros_ = Buffer::host(zero_bytes);
    run_tiles(workers_, MatmulF32{.windows = windows,
                                  .panels = static_cast<const float*>(weight.panels.data()),
                                  .zeros = static_cast<const float*>(zeros_.data()),
                                  .epilogue = epilogue});
}

void Matmuls::multiply_bf16(const Windows& windows, const Bf16Weight& weight, const Epilogue& epilogue) {
    run_tiles(workers_, MatmulBf16{.windows = windows,
                                   .kernel = bf16_,
                                   .panels = static_cast<const std::uint16_t*>(weight.panels.data()),
                                   .k = weight.k,
                                   .threads = workers_.threads(),
                                   .epilogue = epilogue});
}

}  // namespace t2i::cpu
