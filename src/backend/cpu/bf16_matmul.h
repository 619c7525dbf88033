// bf16 matrix products by oneDNN, a tile at a time on the calling thread, for CPUs that multiply bf16.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

namespace t2i::cpu {

// Whether the CPU has AVX-512 BF16 or AMX.
[[nodiscard]] bool multiplies_bf16();

class Bf16Matmul {
  public:
    // Tiles are this large, the last columns excepted. Few heights mean few primitives, none made in a step
    // loop: rows that do not fill a tall tile go through short ones.
    static constexpr std::int64_t tall_rows = 128, short_rows = 16, tile_columns = 256;

    // `columns` (≤ tile_columns) rows of a weight [N, K], in the layout that oneDNN multiplies fastest.
    struct WeightTile {
        dnnl::matmul tall, low;  // [tall_rows or short_rows, K] x [K, columns]
        dnnl::memory weights;
        dnnl::memory::desc tall_scratch, low_scratch;
        std::int64_t k = 0, columns = 0;
    };
    [[nodiscard]] WeightTile pack(const std::uint16_t* weight, std::int64_t columns, std::int64_t k);

    // Bytes that run() needs.
    [[nodiscard]] static std::size_t scratch_bytes(const WeightTile& tile);
    // sums [rows, columns] f32 = x [rows, K] · tileᵀ; rows is tall_rows or short_rows.
    void run(const WeightTile& tile, const std::uint16_t* x, std::int64_t rows, float* sums,
             void* scratch) const;

  private:
    struct Shape {
        dnnl::matmul::primitive_desc tall, low;
        dnnl::matmul tall_primitive, low_primitive;
    };
    const Shape& shape(std::int64_t columns, std::int64_t k);

    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    std::map<std::array<std::int64_t, 2>, Shape> shapes_;
};

}  // namespace t2i::cpu
