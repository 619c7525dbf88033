// Products of small bf16 tiles on the tensor cores: how fragments are fetched from shared memory and made from sums.
// Layouts stand in t2i_ptx.cuh. A bf16 is a std::uint16_t holding the upper half of a binary32.
//
// Rows in shared memory are an odd number of 16-byte chunks apart (tile_stride), so that the eight rows of a matrix that
// ldmatrix reads together lie in different banks.
#pragma once

#include <cstdint>
#include <t2i_ptx.cuh>

namespace t2i::cuda {

constexpr int chunk_elements = 8;  // bf16 in 16 bytes: what cp.async and ldmatrix move at a time

// Elements between rows of a tile of `columns` (a multiple of 8) columns.
__host__ __device__ constexpr int tile_stride(int columns) {
    return columns / chunk_elements % 2 == 1 ? columns : columns + chunk_elements;
}

__device__ __forceinline__ int lane_id() {
    return static_cast<int>(threadIdx.x) % 32;
}
__device__ __forceinline__ int warp_id() {
    return static_cast<int>(threadIdx.x) / 32;
}

// A [16, 16] from a tile with rows of A in its rows.
__device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const std::uint16_t* tile, int stride) {
    const int lane = lane_id();
    ptx::ldmatrix_x4(a, tile + lane % 16 * stride + lane / 16 * 8);
}

// B [16, 16] = two fragments of 8 columns (b[0], b[1] and b[2], b[3]) from a tile with columns of B in its rows: B = tileᵀ.
__device__ __forceinline__ void load_b(std::uint32_t (&b)[4], const std::uint16_t* tile, int stride) {
    const int lane = lane_id();
    ptx::ldmatrix_x4(b, tile + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
}
// B [8, 16]: fragments b[0] and b[1] of 8 columns each, for k8.
__device__ __forceinline__ void load_b_k8(std::uint32_t (&b)[2], const std::uint16_t* tile, int stride) {
    ptx::ldmatrix_x2(b, tile + lane_id() % 16 * stride);
}
// B [16, 8].
__device__ __forceinline__ void load_b_n8(std::uint32_t (&b)[2], const std::uint16_t* tile, int stride) {
    const int lane = lane_id();
    ptx::ldmatrix_x2(b, tile + lane % 8 * stride + lane / 8 % 2 * 8);
}

// B [16, 16] as two fragments, from a tile with rows of B in its rows.
__device__ __forceinline__ void load_b_transposed(std::uint32_t (&b)[4], const std::uint16_t* tile, int stride) {
    const int lane = lane_id();
    ptx::ldmatrix_x4_transposed(b, tile + lane % 16 * stride + lane / 16 * 8);
}
// B [16, 8].
__device__ __forceinline__ void load_b_n8_transposed(std::uint32_t (&b)[2], const std::uint16_t* tile, int stride) {
    ptx::ldmatrix_x2_transposed(b, tile + lane_id() % 16 * stride);
}

// The halves of a register of two bf16.
__device__ __forceinline__ float low_half(std::uint32_t both) {
    return __uint_as_float(both << 16);
}
__device__ __forceinline__ float high_half(std::uint32_t both) {
    return __uint_as_float(both & 0xFFFF0000U);
}

}  // namespace t2i::cuda
