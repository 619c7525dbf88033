// What the attention kernels share: which head a block works on, and how a row's softmax runs over tiles of keys.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"

namespace t2i::cuda {

constexpr float log2_e = 1.44269504088896341F;  // exp(x) = 2^(x · log2_e)
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// One head of one sequence.
template <typename T>
struct Head {
    const T *q, *k, *v;  // row 0, column 0 of the head
    const float* bias;   // [queries, keys] or null
    T* out;
    std::int64_t out_stride;
    int queries, keys;  // keys: how many take part, 1 … a.keys
};
template <typename T>
__device__ __forceinline__ Head<T> head_of(const Attention& a, std::int64_t batch, std::int64_t head) {
    const auto at = [&](const HeadColumns& m, std::int64_t rows) {
        return static_cast<const T*>(m.data) + batch * rows * m.stride + head * a.head_size;
    };
    Head<T> h;
    h.q = at(a.q, a.queries);
    h.k = at(a.k, a.keys);
    h.v = at(a.v, a.keys);
    h.bias = a.bias ? a.bias + head * a.queries * a.keys : nullptr;
    h.out_stride = a.heads * a.head_size;
    h.out = static_cast<T*>(a.out) + batch * a.queries * h.out_stride + head * a.head_size;
    h.queries = static_cast<int>(a.queries);
    h.keys = static_cast<int>(a.keys);
    // A length past the keys would read what is not there.
    if (a.key_lengths) h.keys = min(h.keys, static_cast<int>(a.key_lengths[batch]));
    return h;
}

__device__ __forceinline__ float load_element(const float* x) {
    return *x;
}
__device__ __forceinline__ float load_element(const std::uint16_t* x) {
    return low_half(*x);
}
__device__ __forceinline__ void store_element(float* out, float value) {
    *out = value;
}
__device__ __forceinline__ void store_element(std::uint16_t* out, float value) {
    *out = static_cast<std::uint16_t>(ptx::to_bf16x2(value, 0.0F));
}

// What to take off before exp so that the largest weight is 1. A row whose scores are all -infinity keeps weights of 0 (and a
// result of 0 / 0, as the formula has it) instead of turning every later tile into NaN.
__device__ __forceinline__ float shift_of(float top) {
    return top == minus_infinity ? 0.0F : top;
}

// Two neighbouring weights as operands of p·v: rounded to bf16, or as the sum of two bf16, whose error is that of 16 bits.
template <bool rounded>
struct WeightPair {
    std::uint32_t high_part = 0, rest = 0;

    // total grows by what the product will see.
    __device__ __forceinline__ void make(float low, float high, float& total) {
        high_part = ptx::to_bf16x2(low, high);
        if constexpr (rounded) {
            total += low_half(high_part) + high_half(high_part);
        } else {
            rest = ptx::to_bf16x2(low - low_half(high_part), high - high_half(high_part));
            total += low + high;
        }
    }
};

// The largest and the sum over the lanes that differ in the bits below `lanes`.
template <int lanes>
__device__ __forceinline__ float maximum_of(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, step));
    return x;
}
template <int lanes>
__device__ __forceinline__ float sum_of(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFU, x, step);
    return x;
}

}  // namespace t2i::cuda
