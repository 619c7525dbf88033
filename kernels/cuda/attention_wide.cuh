// Attention in bf16 on the tensor cores for every other head size up to 512 and for rows that are not aligned: the warps of a
// block share 32 queries and divide the columns of their output, so that a head of 512 fits in registers.
//
// Maths    as attention_mma.cuh
// Grid     (⌈Tq / 32⌉, heads, B) blocks of 8 warps; tiles of 32 keys. Scores: warp w makes 16 queries x 8 keys and leaves
//          them in shared memory; softmax: warp w takes 4 rows, a lane a key; output: warp w takes 16 columns of every 128.
// Memory   shared: queries and one tile of keys, then of values in its place: 2 · 32 · (W + 8) · 2 bytes, W = D rounded up to
//          16, and 9,472 for scores and weights; 76,032 bytes at D = 512: 2 blocks of 128 registers a thread on an SM of 9.0,
//          1 on one of 8.6. Values are copied during the softmax.
// Limits   each block reads 4 · D · Tk bytes, for 32 queries: 32 FLOP a byte of the second-level cache; one head of 512 over
//          1,024 tokens (the decoder's) has 32 blocks a picture, so one picture alone leaves most of a large card idle.
// Numerics as attention_mma.cuh
// Measured not yet on a GPU
#pragma once

#include "kernels/cuda/attention_common.cuh"

namespace t2i::cuda {

constexpr int wide_queries = 32, wide_keys = 32, wide_warps = 8;
constexpr int wide_weight_stride = tile_stride(wide_keys), wide_score_stride = wide_keys + 1;
constexpr int wide_weights = wide_queries * wide_weight_stride;  // elements; what rounding left over follows them

constexpr int wide_columns(std::int64_t head_size) {
    return static_cast<int>((head_size + 15) / 16 * 16);
}
constexpr std::size_t wide_shared_bytes(std::int64_t head_size) {
    const int rows = (wide_queries + wide_keys) * tile_stride(wide_columns(head_size)) + 2 * wide_weights;
    return static_cast<std::size_t>(rows) * 2 + (wide_queries * wide_score_stride + wide_queries) * sizeof(float);
}

// 32 rows of one operand; zeros after `count` rows and after the head's columns. By whole chunks where `aligned`.
struct WideRows {
    int head_size, columns, stride;  // columns: rounded up to 16
    bool aligned;

    __device__ __forceinline__ void copy(std::uint16_t* tile, const std::uint16_t* from, std::int64_t from_stride,
                                         int count) const {
        const int thread = static_cast<int>(threadIdx.x), threads = 32 * wide_warps;
        if (aligned) {
            const int chunks = columns / chunk_elements;
            for (int i = thread; i < 32 * chunks; i += threads) {
                const int row = i / chunks, column = i % chunks * chunk_elements;
                const bool wanted = row < count && column < head_size;
                ptx::cp_async_16(tile + row * stride + column, from + (wanted ? row * from_stride + column : 0), wanted);
            }
        } else {
            for (int i = thread; i < 32 * columns; i += threads) {
                const int row = i / columns, column = i % columns;
                const bool wanted = row < count && column < head_size;
                tile[row * stride + column] = wanted ? from[row * from_stride + column] : std::uint16_t{0};
            }
        }
        ptx::cp_async_commit();
    }
};

// Scores of 16 queries and 8 keys → scores [32][wide_score_stride].
__device__ __forceinline__ void wide_scores(const std::uint16_t* queries, const std::uint16_t* keys, const WideRows& rows,
                                            float* scores) {
    const int first_query = warp_id() / 4 * 16, first_key = warp_id() % 4 * 8;
    const auto step = [&](float(&sums)[4], int column) {
        std::uint32_t a[4], b[2];
        load_a(a, queries + first_query * rows.stride + column, rows.stride);
        load_b_n8(b, keys + first_key * rows.stride + column, rows.stride);
        ptx::mma_m16n8k16(sums, a, b[0], b[1]);
    };
    // Two chains of sums, because a product waits long for the one before it.
    float even[4] = {}, odd[4] = {};
    for (int column = 0; column < rows.columns; column += 32) {
        step(even, column);
        if (column + 16 < rows.columns) step(odd, column + 16);
    }
    float* const at = scores + (first_query + lane_id() / 4) * wide_score_stride + first_key + lane_id() % 4 * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) at[i / 2 * 8 * wide_score_stride + i % 2] = even[i] + odd[i];
}

// Softmax of the warp's 4 rows over a tile, a lane a key.
struct WideSoftmax {
    static constexpr int rows = wide_queries / wide_warps;
    float top[rows], sum[rows];

    template <bool rounded>
    __device__ __forceinline__ void weigh(const float* scores, const Head<std::uint16_t>& h, std::int64_t bias_stride,
                                          float scale, int first_row, int key, std::uint16_t* weights, float* keep) {
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            const int row = rows * warp_id() + i;
            float s = minus_infinity;
            if (key < h.keys) {
                s = scores[row * wide_score_stride + lane_id()] * (scale * log2_e);
                if (h.bias && first_row + row < h.queries) s = fmaf(h.bias[(first_row + row) * bias_stride + key], log2_e, s);
            }
            const float highest = fmaxf(top[i], maximum_of<32>(s)), shift = shift_of(highest);
            const float kept = ptx::exp2_approximate(top[i] - shift);
            WeightPair<rounded> p;
            float added = 0.0F;
            p.make(ptx::exp2_approximate(s - shift), 0.0F, added);
            top[i] = highest;
            sum[i] = fmaf(sum[i], kept, sum_of<32>(added));
            std::uint16_t* const at = weights + row * wide_weight_stride + lane_id();
            *at = static_cast<std::uint16_t>(p.high_part);
            if constexpr (!rounded) at[wide_weights] = static_cast<std::uint16_t>(p.rest);
            if (lane_id() == 0) keep[row] = kept;
        }
    }
};

// The warp's columns of the output: slices of 16, eight warps apart.
template <int slices>
struct WideOutput {
    float o[2][2 * slices][4] = {};

    __device__ __forceinline__ void scale_rows(const float* factors) {
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float factor = factors[16 * m + i / 2 * 8 + lane_id() / 4];
#pragma unroll
                for (int n = 0; n < 2 * slices; ++n) o[m][n][i] *= factor;
            }
    }
    // One part of the weights at a time.
    __device__ __forceinline__ void add(const std::uint16_t* weights, const std::uint16_t* values, const WideRows& rows) {
#pragma unroll
        for (int step = 0; step < wide_keys / 16; ++step) {
            std::uint32_t a[2][4];
#pragma unroll
            for (int m = 0; m < 2; ++m) load_a(a[m], weights + 16 * m * wide_weight_stride + 16 * step, wide_weight_stride);
#pragma unroll
            for (int j = 0; j < slices; ++j) {
                const int column = 16 * (warp_id() + wide_warps * j);
                if (column >= rows.columns) continue;
                std::uint32_t b[4];
                load_b_transposed(b, values + 16 * step * rows.stride + column, rows.stride);
#pragma unroll
                for (int m = 0; m < 2; ++m) {
                    ptx::mma_m16n8k16(o[m][2 * j], a[m], b[0], b[1]);
                    ptx::mma_m16n8k16(o[m][2 * j + 1], a[m], b[2], b[3]);
                }
            }
        }
    }
    __device__ __forceinline__ void store(const Head<std::uint16_t>& h, int first_row, int head_size) const {
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int n = 0; n < 2 * slices; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int row = first_row + 16 * m + i / 2 * 8 + lane_id() / 4;
                    const int column = 16 * (warp_id() + wide_warps * (n / 2)) + n % 2 * 8 + lane_id() % 4 * 2 + i % 2;
                    if (row < h.queries && column < head_size) store_element(h.out + row * h.out_stride + column, o[m][n][i]);
                }
    }
};

// slices: 16 columns of every 128, so head sizes to 128 · slices.  aligned: rows of q, k and v, to 16 bytes
template <int slices, bool rounded>
__global__ void __launch_bounds__(32 * wide_warps) attention_wide_kernel(Attention a, bool aligned) {
    const auto h = head_of<std::uint16_t>(a, blockIdx.z, blockIdx.y);
    const int columns = wide_columns(a.head_size);
    const WideRows rows{static_cast<int>(a.head_size), columns, tile_stride(columns), aligned};
    std::uint16_t* const queries = dynamic_shared<std::uint16_t>();
    std::uint16_t* const tile = queries + wide_queries * rows.stride;
    std::uint16_t* const weights = tile + wide_keys * rows.stride;
    float* const scores = reinterpret_cast<float*>(weights + 2 * wide_weights);
    float* const factors = scores + wide_queries * wide_score_stride;

    const int first_row = static_cast<int>(blockIdx.x) * wide_queries;
    rows.copy(queries, h.q + first_row * a.q.stride, a.q.stride, h.queries - first_row);
    WideSoftmax softmax;
    for (int i = 0; i < WideSoftmax::rows; ++i) {
        softmax.top[i] = minus_infinity;
        softmax.sum[i] = 0.0F;
    }
    WideOutput<slices> output;
    for (int first = 0; first < h.keys; first += wide_keys) {
        rows.copy(tile, h.k + first * a.k.stride, a.k.stride, h.keys - first);
        ptx::cp_async_wait<0>();
        __syncthreads();
        wide_scores(queries, tile, rows, scores);
        __syncthreads();  // scores are there, and nobody reads the keys any more
        rows.copy(tile, h.v + first * a.v.stride, a.v.stride, h.keys - first);
        softmax.template weigh<rounded>(scores, h, a.keys, a.scale, first_row, first + lane_id(), weights, factors);
        ptx::cp_async_wait<0>();
        __syncthreads();
        output.scale_rows(factors);
        output.add(weights, tile, rows);
        if constexpr (!rounded) output.add(weights + wide_weights, tile, rows);
        __syncthreads();  // before the next keys take the values' place
    }
#pragma unroll
    for (int i = 0; i < WideSoftmax::rows; ++i)
        if (lane_id() == 0) factors[WideSoftmax::rows * warp_id() + i] = 1.0F / softmax.sum[i];
    __syncthreads();
    output.scale_rows(factors);
    output.store(h, first_row, rows.head_size);
}

}  // namespace t2i::cuda
