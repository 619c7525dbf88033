// Elements in memory as floats, four at a time. A bf16 is a std::uint16_t holding the upper half of a binary32.
//
// A chunk is four neighbours of a row. With `aligned`, every row has a multiple of four elements and begins at a multiple of
// 16 bytes (f32) or 8 (bf16), so a chunk is one access; else its elements are fetched one by one up to the end of the row.
// Either way a thread gets the same elements, so results do not depend on which it was.
#pragma once

#include <cstdint>
#include <t2i_device.cuh>
#include <t2i_ptx.cuh>

#include "kernels/cuda/cuda_kernels.h"

namespace t2i::cuda {

constexpr int chunk_width = 4;

__host__ __device__ constexpr std::int64_t chunks_of(std::int64_t columns) {
    return (columns + chunk_width - 1) / chunk_width;
}
constexpr unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
    return static_cast<unsigned>((count + per_block - 1) / per_block);
}

inline bool is_aligned(const void* p, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}
inline bool chunks_aligned(const float* p) {
    return is_aligned(p, 16);
}
inline bool chunks_aligned(Elements e) {
    return is_aligned(e.data, e.is_bf16 ? 8 : 16);
}
inline bool chunks_aligned(MutableElements e) {
    return chunks_aligned(Elements{e.data, e.is_bf16});
}

__device__ __forceinline__ float to_float(float x) {
    return x;
}
__device__ __forceinline__ float to_float(std::uint16_t bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

// IEEE 754 binary16, which is only read: a value of it is exact in f32.
struct Half {
    std::uint16_t bits;
};
__device__ __forceinline__ float to_float(Half h) {
    const unsigned sign = (h.bits & 0x8000U) << 16, exponent = (h.bits >> 10) & 31U, fraction = h.bits & 1023U;
    if (exponent == 31) return __uint_as_float(sign | 0x7F800000U | (fraction << 13));
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return sign ? -magnitude : magnitude;
    }
    return __uint_as_float(sign | ((exponent + 112) << 23) | (fraction << 13));
}

__device__ __forceinline__ void load_whole(const float* p, float (&v)[4]) {
    const uint4 bits = load_16(p);
    v[0] = __uint_as_float(bits.x);
    v[1] = __uint_as_float(bits.y);
    v[2] = __uint_as_float(bits.z);
    v[3] = __uint_as_float(bits.w);
}
__device__ __forceinline__ void load_whole(const std::uint16_t* p, float (&v)[4]) {
    const uint2 bits = load_8(p);
    v[0] = __uint_as_float(bits.x << 16);
    v[1] = __uint_as_float(bits.x & 0xFFFF0000U);
    v[2] = __uint_as_float(bits.y << 16);
    v[3] = __uint_as_float(bits.y & 0xFFFF0000U);
}
__device__ __forceinline__ void load_whole(const Half* p, float (&v)[4]) {
    const uint2 bits = load_8(p);
    v[0] = to_float(Half{static_cast<std::uint16_t>(bits.x)});
    v[1] = to_float(Half{static_cast<std::uint16_t>(bits.x >> 16)});
    v[2] = to_float(Half{static_cast<std::uint16_t>(bits.y)});
    v[3] = to_float(Half{static_cast<std::uint16_t>(bits.y >> 16)});
}
__device__ __forceinline__ void store_whole(float* p, const float (&v)[4]) {
    store_16(p, make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])));
}
__device__ __forceinline__ void store_whole(std::uint16_t* p, const float (&v)[4]) {
    store_8(p, make_uint2(ptx::to_bf16x2(v[0], v[1]), ptx::to_bf16x2(v[2], v[3])));
}
__device__ __forceinline__ void store_one(float* p, float v) {
    *p = v;
}
__device__ __forceinline__ void store_one(std::uint16_t* p, float v) {
    *p = static_cast<std::uint16_t>(ptx::to_bf16x2(v, 0.0F));
}

// Elements column … column + 3 of a row of `columns`; zeros past its end.
template <bool aligned, typename T>
__device__ __forceinline__ void load_chunk(const T* row, std::int64_t column, std::int64_t columns, float (&v)[4]) {
    if constexpr (aligned) {
        if (column < columns) {
            load_whole(row + column, v);
            return;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) v[i] = 0.0F;
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) v[i] = column + i < columns ? to_float(row[column + i]) : 0.0F;
    }
}
template <bool aligned, typename T>
__device__ __forceinline__ void store_chunk(T* row, std::int64_t column, std::int64_t columns, const float (&v)[4]) {
    if constexpr (aligned) {
        if (column < columns) store_whole(row + column, v);
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (column + i < columns) store_one(row + column + i, v[i]);
    }
}

// The same with the type known only at run time; `row` begins at element `first` of the data.
template <bool aligned>
__device__ __forceinline__ void load_chunk(Elements e, std::int64_t first, std::int64_t column, std::int64_t columns,
                                           float (&v)[4]) {
    if (e.is_bf16) load_chunk<aligned>(static_cast<const std::uint16_t*>(e.data) + first, column, columns, v);
    else load_chunk<aligned>(static_cast<const float*>(e.data) + first, column, columns, v);
}
template <bool aligned>
__device__ __forceinline__ void store_chunk(MutableElements e, std::int64_t first, std::int64_t column, std::int64_t columns,
                                            const float (&v)[4]) {
    if (e.is_bf16) store_chunk<aligned>(static_cast<std::uint16_t*>(e.data) + first, column, columns, v);
    else store_chunk<aligned>(static_cast<float*>(e.data) + first, column, columns, v);
}

}  // namespace t2i::cuda
