// What a sampler does: linear combinations, a whole step's update in one, and limits of a data prediction.
//
// Maths    kernels/ref/ref_kernels.h: lincomb; SamplerUpdate in cuda_kernels.h
// Shapes   all [count]; inputs [copies, count]; threshold [rows, columns]
// Grid     one element a thread, 256 a block; threshold: a block of 1024 a row, which counts digits of |x| (a radix select)
// Memory   4 bytes a term and 4 an output; a latent of 256 x 256 pictures is 64 KB, so a launch's latency is the limit
// Numerics products and sums in double, each rounded by itself (no fused multiply-add), in the order of the terms, then once to
//          f32: the bits of the reference
// Measured not yet on a GPU
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int sampler_threads = 256;

__device__ __forceinline__ float value_of(const Sum& sum, std::int64_t i) {
    double total = 0.0;
    for (int t = 0; t < sum.terms; ++t)
        total = __dadd_rn(total, __dmul_rn(sum.coefficients[t], static_cast<double>(sum.x[t][i])));
    return static_cast<float>(total);
}

__device__ __forceinline__ std::int64_t element() {
    return static_cast<std::int64_t>(blockIdx.x) * sampler_threads + threadIdx.x;
}

__global__ void __launch_bounds__(sampler_threads)
    lincomb_kernel(const __grid_constant__ Sum sum, std::int64_t count, float* out) {
    const std::int64_t i = element();
    if (i < count) out[i] = value_of(sum, i);
}

__global__ void __launch_bounds__(sampler_threads) sampler_update_kernel(const __grid_constant__ SamplerUpdate a) {
    const std::int64_t i = element();
    bool is_bad = false;
    if (i < a.count) {
        // Terms of x may be x0, which this thread reads back, and x itself.
        a.x0[i] = value_of(a.to_x0, i);
        const float x = value_of(a.to_x, i);
        a.x[i] = x;
        is_bad = !(fabsf(x) <= 3.402823466e+38F);
        const auto scaled = static_cast<float>(__dadd_rn(0.0, __dmul_rn(a.input_scale, static_cast<double>(x))));
        for (std::int64_t copy = 0; copy < a.copies; ++copy) a.inputs[copy * a.count + i] = scaled;
    }
    if (__any_sync(whole_warp, is_bad) && threadIdx.x % 32 == 0) atomicMin(a.first_bad, a.step);
}

__device__ __forceinline__ float clamped(float x, float bound) {
    return x < -bound ? -bound : (x > bound ? bound : x);  // false for a NaN
}

__global__ void __launch_bounds__(sampler_threads) clamp_kernel(float* x, std::int64_t count, float range) {
    const std::int64_t i = element();
    if (i < count) x[i] = clamped(x[i], range);
}

constexpr int threshold_threads = 1024, radix_bits = 8, radix = 1 << radix_bits;

// |x| as bits has the order of |x|, and NaN after everything.
__device__ __forceinline__ unsigned size_of(float x) {
    return __float_as_uint(x) & 0x7FFFFFFFU;
}

// The element that has `rank` smaller ones before it: its digits, the highest first, by counting.
struct Digits {
    std::int32_t counts[radix];
    unsigned found;
    std::int32_t rank;
};

__device__ unsigned sorted_element(const float* row, std::int32_t columns, std::int32_t rank, Digits& shared) {
    const auto thread = static_cast<std::int32_t>(threadIdx.x);
    unsigned digits = 0;
    for (int shift = 32 - radix_bits; shift >= 0; shift -= radix_bits) {
        if (thread < radix) shared.counts[thread] = 0;
        __syncthreads();
        for (std::int32_t i = thread; i < columns; i += threshold_threads) {
            const unsigned size = size_of(row[i]);
            const bool has_digits = shift == 32 - radix_bits || (size >> (shift + radix_bits)) == digits;
            if (has_digits) atomicAdd(&shared.counts[(size >> shift) % radix], 1);
        }
        __syncthreads();
        if (thread == 0) {
            unsigned digit = 0;
            std::int32_t left = rank;
            while (left >= shared.counts[digit]) left -= shared.counts[digit++];
            shared.found = (digits << radix_bits) | digit;
            shared.rank = left;
        }
        __syncthreads();
        digits = shared.found;
        rank = shared.rank;
    }
    return digits;
}

__global__ void __launch_bounds__(threshold_threads)
    threshold_kernel(float* x, std::int32_t columns, std::int32_t below, double weight, float range) {
    Digits& shared = static_shared<Digits>();
    float* row = x + static_cast<std::int64_t>(blockIdx.x) * columns;
    const std::int32_t next = below + 1 < columns ? below + 1 : below;
    const double low = static_cast<double>(__uint_as_float(sorted_element(row, columns, below, shared)));
    const double high = static_cast<double>(__uint_as_float(sorted_element(row, columns, next, shared)));
    const auto quantile = static_cast<float>(__dadd_rn(low, __dmul_rn(weight, __dadd_rn(high, -low))));
    const float least = quantile > 1.0F ? quantile : 1.0F, bound = least < range ? least : range;
    for (auto i = static_cast<std::int32_t>(threadIdx.x); i < columns; i += threshold_threads)
        row[i] = clamped(row[i], bound) / bound;
}

}  // namespace

void launch_clamp(float* x, std::int64_t count, float range, cudaStream_t stream) {
    launch(clamp_kernel, dim3(blocks_for(count, sampler_threads)), dim3(sampler_threads), 0, stream, x, count, range);
}

void launch_threshold(float* x, std::int64_t rows, std::int32_t columns, std::int32_t below, double weight, float range,
                      cudaStream_t stream) {
    launch(threshold_kernel, dim3(static_cast<unsigned>(rows)), dim3(threshold_threads), 0, stream, x, columns, below, weight,
           range);
}

void launch_lincomb(const Sum& sum, std::int64_t count, float* out, cudaStream_t stream) {
    launch(lincomb_kernel, dim3(blocks_for(count, sampler_threads)), dim3(sampler_threads), 0, stream, sum, count, out);
}

void launch_sampler_update(const SamplerUpdate& a, cudaStream_t stream) {
    launch(sampler_update_kernel, dim3(blocks_for(a.count, sampler_threads)), dim3(sampler_threads), 0, stream, a);
}

}  // namespace t2i::cuda
