// Attention with plain multiply-adds, for f32 (the path that parity with other programs is checked in) and for what the tensor
// cores' kernels leave: any head size, any scale.
//
// Maths    as attention_mma.cuh
// Grid     (⌈Tq / 32⌉, heads · ⌈D / (32 · columns)⌉, B) blocks of 8 warps. A warp owns 4 queries; tiles of 32 keys, a lane a key
//          for the scores; then a lane owns every 32nd column of the output. Slices of more than 512 columns make the
//          scores again.
// Memory   shared: 32 · 36 + 32 · 33 + 8 · 32 · 4 floats, 12,928 bytes. Values come through the first-level cache, a row at a
// time. Limits   one read of shared memory for 4 multiply-adds of a score, one of the cache for 4 of the output: about half the
//          rate of multiply-adds at best.
// Numerics f32 throughout, exp2f; each sum is one chain in the order of the columns or keys.
// Measured not yet on a GPU
#pragma once

#include "kernels/cuda/attention_common.cuh"

namespace t2i::cuda {

constexpr int simt_warps = 8, simt_rows = 4, simt_queries = simt_warps * simt_rows, simt_keys = 32;
constexpr int simt_depth = 32;  // columns of q and k in shared memory at a time

struct SimtShared {
    float4 queries[simt_depth][simt_warps + 1];  // [column][warp]: the 4 rows of a warp; one more against bank conflicts
    float keys[simt_keys][simt_depth + 1];
    float4 weights[simt_warps][simt_keys];
};

// s[r] = q_r · k for the warp's 4 rows and the lane's key of a tile.
template <typename T>
__device__ __forceinline__ void simt_scores(const Attention& a, const Head<T>& h, int first_row, int first_key,
                                            SimtShared& shared, float (&s)[simt_rows]) {
    const int warp = warp_id(), lane = lane_id(), head_size = static_cast<int>(a.head_size);
    for (int r = 0; r < simt_rows; ++r) s[r] = 0.0F;
    for (int begin = 0; begin < head_size; begin += simt_depth) {
        const int depth = min(simt_depth, head_size - begin);
        __syncthreads();  // nobody reads what is replaced now
        if (lane < depth) {
            for (int r = 0; r < simt_rows; ++r) {
                const int own = simt_rows * warp + r, query = first_row + own, key = first_key + own;
                const int column = begin + lane;
                reinterpret_cast<float*>(&shared.queries[lane][warp])[r] =
                    query < h.queries ? load_element(h.q + query * a.q.stride + column) : 0.0F;
                shared.keys[own][lane] = key < h.keys ? load_element(h.k + key * a.k.stride + column) : 0.0F;
            }
        }
        __syncthreads();
        for (int d = 0; d < depth; ++d) {
            const float4 q = shared.queries[d][warp];
            const float k = shared.keys[lane][d];
            s[0] = fmaf(q.x, k, s[0]);
            s[1] = fmaf(q.y, k, s[1]);
            s[2] = fmaf(q.z, k, s[2]);
            s[3] = fmaf(q.w, k, s[3]);
        }
    }
}

// columns: of the output, per lane
template <typename T, int columns>
struct SimtRows {
    float top[simt_rows], sum[simt_rows];
    float o[simt_rows][columns];

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int r = 0; r < simt_rows; ++r) {
            top[r] = minus_infinity;
            sum[r] = 0.0F;
#pragma unroll
            for (int c = 0; c < columns; ++c) o[r][c] = 0.0F;
        }
    }
    // Scores of the lane's key → its weights; what was summed before is brought to the new maximum.
    __device__ __forceinline__ void weigh(const Head<T>& h, std::int64_t bias_stride, float scale, int row, int key,
                                          float (&s)[simt_rows]) {
#pragma unroll
        for (int r = 0; r < simt_rows; ++r) {
            float t = minus_infinity;
            if (key < h.keys) {
                t = s[r] * (scale * log2_e);
                if (h.bias && row + r < h.queries) t = fmaf(h.bias[(row + r) * bias_stride + key], log2_e, t);
            }
            const float highest = fmaxf(top[r], maximum_of<32>(t)), shift = shift_of(highest);
            const float keep = exp2f(top[r] - shift);
            s[r] = exp2f(t - shift);
            top[r] = highest;
            sum[r] = fmaf(sum[r], keep, sum_of<32>(s[r]));
#pragma unroll
            for (int c = 0; c < columns; ++c) o[r][c] *= keep;
        }
    }
    __device__ __forceinline__ void add(const float4* weights, const T* values, std::int64_t stride, int count, int width) {
        for (int j = 0; j < count; ++j, values += stride) {
            const float4 p = weights[j];
#pragma unroll
            for (int c = 0; c < columns; ++c) {
                const int column = lane_id() + 32 * c;
                const float v = column < width ? load_element(values + column) : 0.0F;
                o[0][c] = fmaf(p.x, v, o[0][c]);
                o[1][c] = fmaf(p.y, v, o[1][c]);
                o[2][c] = fmaf(p.z, v, o[2][c]);
                o[3][c] = fmaf(p.w, v, o[3][c]);
            }
        }
    }
    __device__ __forceinline__ void store(const Head<T>& h, int row, int first_column, int width) const {
#pragma unroll
        for (int r = 0; r < simt_rows; ++r) {
            if (row + r >= h.queries) continue;
            const float inverse = 1.0F / sum[r];
            T* const out = h.out + (row + r) * h.out_stride + first_column;
#pragma unroll
            for (int c = 0; c < columns; ++c)
                if (lane_id() + 32 * c < width) store_element(out + lane_id() + 32 * c, o[r][c] * inverse);
        }
    }
};

template <typename T, int columns>
__global__ void __launch_bounds__(32 * simt_warps) attention_simt_kernel(Attention a) {
    auto& shared = static_shared<SimtShared>();
    const auto heads = static_cast<unsigned>(a.heads);
    const auto h = head_of<T>(a, blockIdx.z, blockIdx.y % heads);
    const int first_column = static_cast<int>(blockIdx.y / heads) * 32 * columns;
    const int width = static_cast<int>(a.head_size) - first_column;
    const int first_row = static_cast<int>(blockIdx.x) * simt_queries, row = first_row + simt_rows * warp_id();
    SimtRows<T, columns> rows;
    rows.begin();
    for (int first = 0; first < h.keys; first += simt_keys) {
        float s[simt_rows];
        simt_scores(a, h, first_row, first, shared, s);
        rows.weigh(h, a.keys, a.scale, row, first + lane_id(), s);
        float4* const weights = shared.weights[warp_id()];  // those of the tile before were read ahead of a barrier
        weights[lane_id()] = make_float4(s[0], s[1], s[2], s[3]);
        __syncwarp();
        rows.add(weights, h.v + first * a.v.stride + first_column, a.v.stride, min(simt_keys, h.keys - first), width);
    }
    rows.store(h, row, first_column, width);
}

}  // namespace t2i::cuda
