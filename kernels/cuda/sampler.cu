// Sums of a sampler: linear combinations, and a whole step's update in one.
//
// Maths    kernels/ref/ref_kernels.h: lincomb; SamplerUpdate in cuda_kernels.h
// Shapes   all [count]; inputs [copies, count]
// Grid     one element a thread, 256 a block
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

}  // namespace

void launch_lincomb(const Sum& sum, std::int64_t count, float* out, cudaStream_t stream) {
    launch(lincomb_kernel, dim3(blocks_for(count, sampler_threads)), dim3(sampler_threads), 0, stream, sum, count, out);
}

void launch_sampler_update(const SamplerUpdate& a, cudaStream_t stream) {
    launch(sampler_update_kernel, dim3(blocks_for(a.count, sampler_threads)), dim3(sampler_threads), 0, stream, a);
}

}  // namespace t2i::cuda
