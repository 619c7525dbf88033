// Attention in bf16 on the tensor cores, for head sizes that are a multiple of 8 up to 128: one pass over the keys with a
// running softmax (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao 2023, arXiv:2307.08691).
//
// Maths    out = Σ_j p_j v_j / Σ_j p_j, p_j = exp(scale · q·k_j + bias_j - m), j < key_lengths[b], m the largest so far
// Shapes   q [B·Tq, ·], k and v [B·Tk, ·]: columns of wider matrices; out [B·Tq, heads·D]
// Grid     (⌈Tq / 64⌉, heads, B) blocks of 4 warps, or (⌈Tq / 128⌉, heads, B) of 8; a warp owns 16 queries and all of their
//          output, so that its numbers do not depend on how many share the block. Tiles of 64 keys, two in flight: the next
//          is copied while this one is multiplied; one barrier a tile.
// Products nothing is padded: q·k runs in steps of 16 and, where D mod 16 = 8, one of 8 (D = 72: 4½ steps); p·v makes D / 8
//          tiles of 8 columns (D = 72: 9). Weights go from sums to operands inside registers.
// Memory   shared: 4 · 64 · tile_stride(D) · 2 bytes: 36,864 at D = 64 and 72. All of a head's 256 keys and values would be
//          73,728 and need no running softmax, but a block would hold twice the memory and could not copy behind its
//          arithmetic. Here registers (128 a thread up to D = 80) and shared memory both allow 16 warps on an SM of 8.0
//          and 9.0, and any number of keys is one case.
// Limits   a block of 64 queries reads its head's keys and values once, 4 · D · Tk bytes, from the second-level cache after
//          the first block of the head, and does 256 · D · Tk FLOP on them (384 where weights have two parts): 64 to 96 FLOP
//          a byte, near what that cache gives to all SMs at once; blocks of 128 queries need half of it and are taken where
//          there are blocks enough to fill a card. Then the limit is arithmetic: the tensor cores, beside Tk exponentials a
//          query (16 a clock on an SM).
// Numerics scores, softmax and sums in f32. p·v needs weights in bf16: each becomes the sum of two (16 bits), which costs a
//          second product and keeps the result within what f32 sums allow; with `rounded` it is the nearest one, 2^-8 off,
//          as in most programs, and the sum under the fraction is that of the rounded weights, so that they add up to one.
//          A row depends on its query, keys and values alone; the order of all sums is fixed. NaN in a query, or in a key
//          or value that takes part, makes its rows NaN.
// Measured not yet on a GPU
#pragma once

#include "kernels/cuda/attention_common.cuh"

namespace t2i::cuda {

template <int head_size>
struct AttentionTiles {
    static_assert(head_size % 8 == 0);
    static constexpr int keys = 64;
    static constexpr int stride = tile_stride(head_size);
    static constexpr int steps = head_size / 16;  // of q·k
    static constexpr bool half_step = head_size % 16 != 0;
    static constexpr int columns = head_size / 8;  // tiles of p·v
    static constexpr int tile_elements = keys * stride;
    static constexpr int shared_bytes = 4 * tile_elements * 2;      // two stages of keys and values
    static constexpr int warps_per_sm = head_size <= 80 ? 16 : 12;  // what registers should allow
};

// The queries of a warp as fragments of A, straight from global memory: each element is used by one warp once.
template <int head_size>
struct QueryFragments {
    using Tiles = AttentionTiles<head_size>;
    std::uint32_t whole[Tiles::steps > 0 ? Tiles::steps : 1][4];
    std::uint32_t half[2];

    // Rows past the last query are zeros. `sign` flips every sign where its bits are set.
    __device__ __forceinline__ void load(const Head<std::uint16_t>& h, std::int64_t stride, int first_row, std::uint32_t sign) {
        const int group = lane_id() / 4, pair = lane_id() % 4;
        const std::uint16_t* const first = h.q + first_row * stride;
        const auto get = [&](int row, int column) -> std::uint32_t {
            if (first_row + row >= h.queries) return 0;
            return *reinterpret_cast<const std::uint32_t*>(first + row * stride + column) ^ sign;
        };
#pragma unroll
        for (int step = 0; step < Tiles::steps; ++step)
#pragma unroll
            for (int i = 0; i < 4; ++i) whole[step][i] = get(group + i % 2 * 8, 16 * step + i / 2 * 8 + 2 * pair);
        if constexpr (Tiles::half_step)
#pragma unroll
            for (int i = 0; i < 2; ++i) half[i] = get(group + i * 8, 16 * Tiles::steps + 2 * pair);
    }
};

// Starts copying 64 rows of one operand; rows from `count` on become zeros, so that 0 · v is 0 whatever lies there.
template <int head_size, int threads>
__device__ __forceinline__ void copy_tile(std::uint16_t* tile, const std::uint16_t* from, int stride, int count) {
    using Tiles = AttentionTiles<head_size>;
    constexpr int chunks = head_size / chunk_elements;
#pragma unroll 1  // registers are scarce here
    for (int i = static_cast<int>(threadIdx.x); i < Tiles::keys * chunks; i += threads) {
        const int row = i / chunks, column = i % chunks * chunk_elements;
        const bool wanted = row < count;
        ptx::cp_async_16(tile + row * Tiles::stride + column, from + (wanted ? row * stride + column : 0), wanted);
    }
}

// s += q · keysᵀ for 16 queries and 64 keys.
template <int head_size>
__device__ __forceinline__ void multiply_keys(float (&s)[8][4], const QueryFragments<head_size>& q, const std::uint16_t* keys) {
    using Tiles = AttentionTiles<head_size>;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
        const std::uint16_t* rows = keys + 16 * n * Tiles::stride;
#pragma unroll
        for (int step = 0; step < Tiles::steps; ++step) {
            std::uint32_t b[4];
            load_b(b, rows + 16 * step, Tiles::stride);
            ptx::mma_m16n8k16(s[2 * n], q.whole[step], b[0], b[1]);
            ptx::mma_m16n8k16(s[2 * n + 1], q.whole[step], b[2], b[3]);
        }
        if constexpr (Tiles::half_step) {
            std::uint32_t b[2];
            load_b_k8(b, rows + 16 * Tiles::steps, Tiles::stride);
            ptx::mma_m16n8k8(s[2 * n], q.half[0], q.half[1], b[0]);
            ptx::mma_m16n8k8(s[2 * n + 1], q.half[0], q.half[1], b[1]);
        }
    }
}

// The key of element i of the n-th tile of 8 scores, for this lane.
__device__ __forceinline__ int key_of(int n, int i) {
    return 8 * n + lane_id() % 4 * 2 + i % 2;
}

// Where the sums of q·k begin: bias / scale, so that one factor serves both.  bias: of the lane's first row and the tile's
// first key; count: keys of the tile that take part
__device__ __forceinline__ void start_with_bias(float (&s)[8][4], const float* bias, std::int64_t stride, int rows, int count,
                                                float inverse_scale) {
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool inside = i / 2 * 8 < rows && key_of(n, i) < count;
            s[n][i] = inside ? bias[i / 2 * 8 * stride + key_of(n, i)] * inverse_scale : 0.0F;
        }
}

// Keys from `count` on get no weight.
__device__ __forceinline__ void mask_scores(float (&s)[8][4], int count) {
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (key_of(n, i) >= count) s[n][i] = minus_infinity;
}

// The two rows (g and g + 8) that a lane helps with: softmax and output so far.
template <int head_size>
struct RunningRows {
    using Tiles = AttentionTiles<head_size>;
    float top[2] = {minus_infinity, minus_infinity};
    float sum[2] = {0.0F, 0.0F};  // of this lane's keys
    float o[Tiles::columns][4] = {};

    // Takes in a tile's scores; what was summed before is brought to the new maximum. Weight = 2^(factor · s - shift).
    __device__ __forceinline__ void raise_top(const float (&s)[8][4], float factor, float (&shift)[2]) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float highest = top[r];
#pragma unroll
            for (int n = 0; n < 8; ++n) highest = fmaxf(highest, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
            highest = maximum_of<4>(highest);
            shift[r] = shift_of(highest) * factor;
            const float keep = ptx::exp2_approximate(fmaf(top[r], factor, -shift[r]));
            top[r] = highest;
            sum[r] *= keep;
#pragma unroll
            for (int n = 0; n < Tiles::columns; ++n) {
                o[n][2 * r] *= keep;
                o[n][2 * r + 1] *= keep;
            }
        }
    }

    // o += p · values. Weights are made 16 keys at a time, between products, so that neither waits for the other.
    template <bool rounded>
    __device__ __forceinline__ void add(const float (&s)[8][4], float factor, const float (&shift)[2],
                                        const std::uint16_t* values) {
#pragma unroll
        for (int step = 0; step < 4; ++step) {
            WeightPair<rounded> p[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const auto& pair = s[2 * step + i / 2];
                const int r = i % 2;
                p[i].make(ptx::exp2_approximate(fmaf(pair[2 * r], factor, -shift[r])),
                          ptx::exp2_approximate(fmaf(pair[2 * r + 1], factor, -shift[r])), sum[r]);
            }
            const std::uint32_t a[4] = {p[0].high_part, p[1].high_part, p[2].high_part, p[3].high_part};
            const std::uint32_t rest[4] = {p[0].rest, p[1].rest, p[2].rest, p[3].rest};
            const auto multiply = [&](float(&sums)[4], std::uint32_t b0, std::uint32_t b1) {
                ptx::mma_m16n8k16(sums, a, b0, b1);
                if constexpr (!rounded) ptx::mma_m16n8k16(sums, rest, b0, b1);
            };
            const std::uint16_t* const rows = values + 16 * step * Tiles::stride;
#pragma unroll
            for (int n = 0; n < Tiles::columns / 2; ++n) {
                std::uint32_t b[4];
                load_b_transposed(b, rows + 16 * n, Tiles::stride);
                multiply(o[2 * n], b[0], b[1]);
                multiply(o[2 * n + 1], b[2], b[3]);
            }
            if constexpr (Tiles::columns % 2 != 0) {
                std::uint32_t b[2];
                load_b_n8_transposed(b, rows + 8 * (Tiles::columns - 1), Tiles::stride);
                multiply(o[Tiles::columns - 1], b[0], b[1]);
            }
        }
    }
};

template <int head_size>
__device__ __forceinline__ void store_rows(const RunningRows<head_size>& rows, const Head<std::uint16_t>& h, int row) {
    const int pair = lane_id() % 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float inverse = 1.0F / sum_of<4>(rows.sum[r]);
        if (row + 8 * r >= h.queries) continue;
        std::uint16_t* out = h.out + (row + 8 * r) * h.out_stride + 2 * pair;
#pragma unroll
        for (int n = 0; n < head_size / 8; ++n)
            *reinterpret_cast<std::uint32_t*>(out + 8 * n) =
                ptx::to_bf16x2(rows.o[n][2 * r] * inverse, rows.o[n][2 * r + 1] * inverse);
    }
}

// Needs: scale not so small that bias / scale overflows; q, k and v aligned to 16 bytes in every row, out to 4.
template <int head_size, int warps, bool biased, bool rounded>
__global__ void __launch_bounds__(32 * warps, AttentionTiles<head_size>::warps_per_sm / warps) attention_mma_kernel(Attention a) {
    using Tiles = AttentionTiles<head_size>;
    std::uint16_t* const shared = dynamic_shared<std::uint16_t>();
    const auto h = head_of<std::uint16_t>(a, blockIdx.z, blockIdx.y);
    const int warp_row = static_cast<int>(blockIdx.x) * 16 * warps + 16 * warp_id(), row = warp_row + lane_id() / 4;
    const bool has_rows = warp_row < h.queries;
    const int tiles = (h.keys + Tiles::keys - 1) / Tiles::keys;
    const auto stage = [&](int tile) { return shared + tile % 2 * 2 * Tiles::tile_elements; };
    const auto copy = [&](int tile) {
        const int first = tile * Tiles::keys, count = h.keys - first;
        copy_tile<head_size, 32 * warps>(stage(tile), h.k + first * a.k.stride, static_cast<int>(a.k.stride), count);
        copy_tile<head_size, 32 * warps>(stage(tile) + Tiles::tile_elements, h.v + first * a.v.stride,
                                         static_cast<int>(a.v.stride), count);
        ptx::cp_async_commit();
    };
    copy(0);
    QueryFragments<head_size> q;
    q.load(h, a.q.stride, warp_row, a.scale < 0 ? 0x80008000U : 0U);
    const float scale = fabsf(a.scale), factor = scale * log2_e;
    RunningRows<head_size> rows;
    for (int tile = 0; tile < tiles; ++tile) {
        // After the barrier this tile is there for everyone, and nobody reads the one before it, whose place the next takes.
        ptx::cp_async_wait<0>();
        __syncthreads();
        if (tile + 1 < tiles) copy(tile + 1);
        if (!has_rows) continue;
        const int first = tile * Tiles::keys, count = h.keys - first;
        float s[8][4] = {};
        if constexpr (biased) start_with_bias(s, h.bias + row * a.keys + first, a.keys, h.queries - row, count, 1.0F / scale);
        multiply_keys(s, q, stage(tile));
        if (count < Tiles::keys) mask_scores(s, count);
        float shift[2];
        rows.raise_top(s, factor, shift);
        rows.template add<rounded>(s, factor, shift, stage(tile) + Tiles::tile_elements);
    }
    if (has_rows) store_rows<head_size>(rows, h, row);
}

}  // namespace t2i::cuda
