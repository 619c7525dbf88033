// Sums and moments over the threads of a warp or a block, in an order fixed by the block's size.
#pragma once

#include <t2i_device.cuh>

namespace t2i::cuda {

constexpr unsigned whole_warp = 0xFFFFFFFFU;

// The sum over the lanes of a warp, the same in each.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(whole_warp, x, step);
    return x;
}

// The sum over the threads of a block of whole warps (blockDim.x alone), the same in each. All threads call it; `slots` is
// shared memory that nothing else uses in the same kernel.
__device__ __forceinline__ float block_sum(float x, float (&slots)[32]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int warps = static_cast<int>(blockDim.x) / 32;
    x = warp_sum(x);
    if (warps == 1) return x;
    if (lane == 0) slots[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? slots[lane] : 0.0F);
}

// Count, mean and sum of squared deviations of some numbers.
struct Moments {
    float count, mean, squares;
};
// Of both together (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances").
__device__ __forceinline__ Moments join(const Moments& a, const Moments& b) {
    if (b.count == 0.0F) return a;
    if (a.count == 0.0F) return b;
    const float count = a.count + b.count, step = b.mean - a.mean, part = b.count / count;
    return {count, fmaf(step, part, a.mean), a.squares + b.squares + step * step * (a.count * part)};
}
__device__ __forceinline__ Moments warp_join(Moments m) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const Moments other{__shfl_down_sync(whole_warp, m.count, static_cast<unsigned>(step)),
                            __shfl_down_sync(whole_warp, m.mean, static_cast<unsigned>(step)),
                            __shfl_down_sync(whole_warp, m.squares, static_cast<unsigned>(step))};
        m = join(m, other);
    }
    return m;  // of the whole warp in lane 0 only
}

}  // namespace t2i::cuda
