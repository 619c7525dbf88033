#include "backend/cpu/matmuls.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "backend/kernel_arguments.h"
#include "core/blocks.h"
#include "kernels/cpu/block_matmul.h"

namespace t2i::cpu {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}
std::int64_t round_up(std::int64_t a, std::int64_t b) {
    return divide_up(a, b) * b;
}

// Whether the exponent bits, `mask`, of any value are all ones: NaN or Inf. Without a branch, so that it becomes vectors.
template <typename Bits, Bits mask>
bool has_non_finite(const void* values, std::int64_t count) {
    Bits bad = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        Bits bits;
        std::memcpy(&bits, static_cast<const std::byte*>(values) + static_cast<std::size_t>(i) * sizeof(Bits), sizeof(Bits));
        bad = static_cast<Bits>(bad | static_cast<Bits>((bits & mask) == mask ? 1 : 0));
    }
    return bad != 0;
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

// Rows in groups, and of a group all first blocks, then all second ones, …: a product reads it from end to end.
struct Matmuls::BlockWeight final : PackedWeight {
    static constexpr std::int64_t group_rows = 32;
    struct Group {
        DType dtype = DType::q8_0;
        std::size_t offset = 0;  // in `blocks`
    };
    Buffer blocks;
    std::vector<Group> groups;
};

// The rows of matrices under one another.
class Matmuls::Rows {
  public:
    explicit Rows(std::span<const TensorView> matrices) : matrices_(matrices), k_(matrices[0].shape[1]) {
        for (const TensorView& m : matrices) {
            begins_.push_back(n_);
            n_ += m.shape[0];
        }
    }
    [[nodiscard]] std::int64_t n() const { return n_; }
    [[nodiscard]] std::int64_t k() const { return k_; }
    struct Row {
        const std::byte* data;
        DType dtype;
    };
    [[nodiscard]] Row operator[](std::int64_t row) const {
        const auto part = static_cast<std::size_t>(std::ranges::upper_bound(begins_, row) - begins_.begin() - 1);
        const TensorView& m = matrices_[part];
        return {static_cast<const std::byte*>(m.data) + bytes_of(m.dtype, (row - begins_[part]) * k_), m.dtype};
    }
    // Whether each group of so many rows has one block type.
    [[nodiscard]] bool is_blocks(std::int64_t group) const {
        for (std::size_t i = 0; i < matrices_.size(); ++i) {
            if (!is_block_type(matrices_[i].dtype)) return false;
            if (i > 0 && begins_[i] % group != 0 && matrices_[i].dtype != matrices_[i - 1].dtype) return false;
        }
        return true;
    }

  private:
    std::span<const TensorView> matrices_;
    std::vector<std::int64_t> begins_;
    std::int64_t k_, n_ = 0;
};

std::unique_ptr<PackedWeight> Matmuls::pack_linear(std::span<const TensorView> weights, DType compute) {
    const Rows rows(weights);
    auto packed = rows.is_blocks(BlockWeight::group_rows) ? pack_blocks(rows, compute) : pack(rows, compute);
    packed->shape = {rows.n(), rows.k()};
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack_conv2d(const TensorView& weight, DType compute) {
    // [Cout, Cin, KH, KW] → [Cout, KH·KW·Cin], the order of a window.
    const Shape& s = weight.shape;
    const std::int64_t taps = s[2] * s[3], k = s[1] * taps;
    std::vector<float> values(static_cast<std::size_t>(weight.elements()));
    convert_to_f32(weight.data, weight.dtype, values.size(), values.data());
    const Tensor windows = Tensor::host({s[0], k});
    filters_as_windows(values.data(), s[0], s[1], taps, windows.as<float>().data());
    auto packed = pack(Rows(std::span(&windows.view, 1)), compute);
    packed->shape = s;
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack(const Rows& rows, DType compute) {
    return compute == DType::f32 ? pack_f32(rows) : pack_bf16_panels(rows);
}

std::unique_ptr<PackedWeight> Matmuls::pack_f32(const Rows& rows) {
    auto packed = std::make_unique<F32Weight>();
    const std::int64_t width = panel_width(), n = rows.n(), k = rows.k();
    packed->panels = memory_.take(static_cast<std::size_t>(round_up(n, width) * k) * sizeof(float));
    workers_.reserve(static_cast<std::size_t>(width * k) * sizeof(float));
    std::atomic<bool> finite{true};
    workers_.run(divide_up(n, width), [&](std::int64_t panel, void* scratch) {
        const std::int64_t begin = panel * width, count = std::min(width, n - begin);
        auto* values = static_cast<float*>(scratch);
        for (std::int64_t r = 0; r < count; ++r) {
            const auto [data, dtype] = rows[begin + r];
            convert_to_f32(data, dtype, static_cast<std::size_t>(k), values + r * k);
        }
        if (has_non_finite<std::uint32_t, 0x7F800000U>(values, count * k)) finite = false;
        pack_panels(values, count, k, k, static_cast<float*>(packed->panels.data()) + begin * k);
    });
    packed->is_known_finite = finite;
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack_bf16_panels(const Rows& rows) {
    auto packed = std::make_unique<Bf16Weight>();
    const std::int64_t n = rows.n(), k = rows.k();
    packed->compute = DType::bf16;
    packed->k = round_up(k, bf16_step);
    const std::int64_t panel_elements = bf16_panel * packed->k;
    packed->panels = memory_.take(static_cast<std::size_t>(divide_up(n, bf16_panel) * panel_elements) * sizeof(std::uint16_t));
    const auto row_bytes = static_cast<std::size_t>(k) * sizeof(float);
    workers_.reserve(row_bytes + static_cast<std::size_t>(bf16_panel * k) * sizeof(std::uint16_t));
    std::atomic<bool> finite{true};
    workers_.run(divide_up(n, bf16_panel), [&](std::int64_t panel, void* scratch) {
        const std::int64_t begin = panel * bf16_panel, count = std::min(bf16_panel, n - begin);
        auto* values = static_cast<float*>(scratch);
        auto* rounded = reinterpret_cast<std::uint16_t*>(static_cast<std::byte*>(scratch) + row_bytes);
        for (std::int64_t r = 0; r < count; ++r) {
            const auto [data, dtype] = rows[begin + r];
            if (dtype == DType::bf16) {
                std::memcpy(rounded + r * k, data, bytes_of(dtype, k));
                continue;
            }
            convert_to_f32(data, dtype, static_cast<std::size_t>(k), values);
            convert({values, false}, k, {rounded + r * k, true});
        }
        if (has_non_finite<std::uint16_t, 0x7F80U>(rounded, count * k)) finite = false;
        pack_bf16(rounded, count, k, k, static_cast<std::uint16_t*>(packed->panels.data()) + panel * panel_elements);
    });
    packed->is_known_finite = finite;
    return packed;
}

std::unique_ptr<PackedWeight> Matmuls::pack_blocks(const Rows& rows, DType compute) {
    auto packed = std::make_unique<BlockWeight>();
    packed->compute = compute;
    constexpr std::int64_t group_rows = BlockWeight::group_rows;
    const std::int64_t n = rows.n(), k = rows.k();
    std::size_t bytes = 0;
    for (std::int64_t row = 0; row < n; row += group_rows) {
        packed->groups.push_back({rows[row].dtype, bytes});
        bytes += static_cast<std::size_t>(group_rows) * bytes_of(rows[row].dtype, k);
    }
    packed->blocks = memory_.take(bytes);
    std::atomic<bool> finite{true};
    workers_.run(static_cast<std::int64_t>(packed->groups.size()), [&](std::int64_t i, void*) {
        const auto [dtype, offset] = packed->groups[static_cast<std::size_t>(i)];
        const std::size_t block = block_of(dtype).bytes, blocks = bytes_of(dtype, k) / block;
        auto* to = static_cast<std::byte*>(packed->blocks.data()) + offset;
        if (n - i * group_rows < group_rows) std::memset(to, 0, static_cast<std::size_t>(group_rows) * blocks * block);
        for (std::int64_t r = 0; r < std::min(group_rows, n - i * group_rows); ++r) {
            const std::byte* from = rows[i * group_rows + r].data;
            if (first_non_finite_scale(from, dtype, blocks)) finite = false;
            for (std::size_t b = 0; b < blocks; ++b)
                std::memcpy(to + (b * group_rows + static_cast<std::size_t>(r)) * block, from + b * block, block);
        }
    });
    packed->is_known_finite = finite;
    return packed;
}

void Matmuls::multiply(const Windows& windows, const PackedWeight& weight, const Epilogue& epilogue) {
    if (const auto* f32 = dynamic_cast<const F32Weight*>(&weight)) return multiply_f32(windows, *f32, epilogue);
    if (const auto* blocks = dynamic_cast<const BlockWeight*>(&weight)) return multiply_blocks(windows, *blocks, epilogue);
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

void Matmuls::multiply_blocks(const Windows& windows, const BlockWeight& weight, const Epilogue& epilogue) {
    const BlockMatmul product{.x = windows.x,
                              .rows = windows.rows,
                              .k = weight.shape[1],
                              .kernel = weight.compute == DType::f32 ? Bf16Kernel::none : bf16_,
                              .epilogue = epilogue};
    const std::int64_t width = block_columns(product), panels = divide_up(epilogue.columns, width);
    workers_.reserve(block_scratch(product));
    workers_.run(panels, [&](std::int64_t panel, void* scratch) {
        const std::int64_t column = panel * width, in_group = column % BlockWeight::group_rows;
        const auto& group = weight.groups[static_cast<std::size_t>(column / BlockWeight::group_rows)];
        const StorageBlock block = block_of(group.dtype);
        const auto* blocks = static_cast<const std::byte*>(weight.blocks.data()) + group.offset;
        block_columns_times_rows(product,
                                 {.type = block_type(group.dtype),
                                  .blocks = blocks + static_cast<std::size_t>(in_group) * block.bytes,
                                  .block_bytes = static_cast<std::int64_t>(block.bytes),
                                  .block_values = block.elements,
                                  .stride = BlockWeight::group_rows * static_cast<std::int64_t>(block.bytes)},
                                 column, scratch);
    });
}

}  // namespace t2i::cpu
