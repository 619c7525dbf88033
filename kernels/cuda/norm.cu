// Norms of rows: LayerNorm with modulation, the same behind a gated residual, and RMSNorm.
//
// Maths    kernels/ref/ref_kernels.h: norm_modulate, residual_norm, rms_norm
// Shapes   x, y, stream, out [M, C]; shift, scale, gate [G, C]
// Grid     M blocks, one row each; threads: a whole number of warps that hold the row in registers, 1, 3 or 8 chunks of four
//          elements a thread (C = 1152: 96 threads of 3; C = 4096: 128 of 8). Above 16,384 columns rows are read again for
//          each pass. The choice depends on C alone, so a row's result does not depend on the number of rows.
// Memory   each element is read and written once: norm_modulate and rms_norm 4 + 2 or 4 bytes an element; residual_norm
//          4 + 4 + 2 (y) + 2 (out) in bf16. Parameters of a group come from the second-level cache. That and, at few rows,
//          the latency of two reductions are the limit; there is no arithmetic to speak of.
// Numerics statistics in f32, in two passes over the registers (mean, then squared deviations), so that a large mean does not
//          disturb the variance. Sums: four elements of a chunk, chunks of a thread, lanes of a warp, warps.
// Measured not yet on a GPU
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

struct RowSums {
    float first[32], second[32];
};

// (v - mean) · inverse · (1 + scale) + shift
template <bool aligned>
__device__ __forceinline__ void modulate(const float* scale_row, const float* shift_row, std::int64_t column,
                                         std::int64_t columns, float mean, float inverse, float (&v)[4]) {
    float scale[4], shift[4];
    load_chunk<aligned>(scale_row, column, columns, scale);
    load_chunk<aligned>(shift_row, column, columns, shift);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = fmaf((v[i] - mean) * inverse, 1.0F + scale[i], shift[i]);
}

// The three operations as a row kernel sees them: where values come from (load), what of them is kept at once (keep), and what
// they become (finish). Only keep and the kernel itself write, so that all loads of a thread can be on their way together.
// `start` is where the row begins in a matrix of its shape.

// A row of a matrix x that is normed as it is.
template <typename Args>
struct InputRow {
    Args a;
    __device__ bool normalises() const { return true; }
    template <bool aligned>
    __device__ void load(std::int64_t, std::int64_t start, std::int64_t column, float (&v)[4]) const {
        load_chunk<aligned>(a.x + start, column, a.columns, v);
    }
    template <bool aligned>
    __device__ void keep(std::int64_t, std::int64_t, const float (&)[4]) const {}
    // Values again, for rows that do not fit in registers.
    template <bool aligned>
    __device__ void reload(std::int64_t start, std::int64_t column, float (&v)[4]) const {
        load_chunk<aligned>(a.x + start, column, a.columns, v);
    }
};

struct LayerNormRow : InputRow<NormModulate> {
    static constexpr bool is_centred = true;
    template <bool aligned>
    __device__ void finish(std::int64_t row, std::int64_t column, float mean, float inverse, float (&v)[4]) const {
        const std::int64_t group = row / a.rows_per_group * a.columns;
        modulate<aligned>(a.scale + group, a.shift + group, column, a.columns, mean, inverse, v);
    }
};

template <typename Y>
struct ResidualRow {
    ResidualNorm a;
    static constexpr bool is_centred = true;
    __device__ bool normalises() const { return a.shift != nullptr; }
    template <bool aligned>
    __device__ void load(std::int64_t row, std::int64_t start, std::int64_t column, float (&v)[4]) const {
        float y[4], gate[4] = {1.0F, 1.0F, 1.0F, 1.0F};
        load_chunk<aligned>(a.values + start, column, a.columns, v);
        load_chunk<aligned>(static_cast<const Y*>(a.y.data) + start, column, a.columns, y);
        if (a.gate) load_chunk<aligned>(a.gate + row / a.rows_per_gate * a.columns, column, a.columns, gate);
#pragma unroll
        for (int i = 0; i < 4; ++i) v[i] = fmaf(gate[i], y[i], v[i]);
    }
    template <bool aligned>
    __device__ void keep(std::int64_t start, std::int64_t column, const float (&v)[4]) const {
        store_chunk<aligned>(a.values + start, column, a.columns, v);
    }
    template <bool aligned>
    __device__ void reload(std::int64_t start, std::int64_t column, float (&v)[4]) const {
        load_chunk<aligned>(a.values + start, column, a.columns, v);
    }
    template <bool aligned>
    __device__ void finish(std::int64_t row, std::int64_t column, float mean, float inverse, float (&v)[4]) const {
        if (!a.shift) return;
        const std::int64_t group = row / a.rows_per_group * a.columns;
        modulate<aligned>(a.scale + group, a.shift + group, column, a.columns, mean, inverse, v);
    }
};

struct RmsNormRow : InputRow<RmsNorm> {
    static constexpr bool is_centred = false;
    template <bool aligned>
    __device__ void finish(std::int64_t, std::int64_t column, float, float inverse, float (&v)[4]) const {
        float weight[4];
        load_chunk<aligned>(a.weight, column, a.columns, weight);
#pragma unroll
        for (int i = 0; i < 4; ++i) v[i] = v[i] * inverse * weight[i];
    }
};

__device__ __forceinline__ float sum_of(const float (&v)[4]) {
    return (v[0] + v[1]) + (v[2] + v[3]);
}
// Σ (v - mean)² over the chunk's elements that are in the row.
__device__ __forceinline__ float squares_of(const float (&v)[4], float mean, std::int64_t column, std::int64_t columns) {
    float sum = 0.0F;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float step = column + i < columns ? v[i] - mean : 0.0F;
        sum = fmaf(step, step, sum);
    }
    return sum;
}

// `chunks` of each thread in registers.
template <int chunks, bool aligned, typename Row>
__global__ void __launch_bounds__(chunks < 8 ? 128 : 512) row_norm_kernel(Row row_op) {
    RowSums& sums = static_shared<RowSums>();
    const std::int64_t row = blockIdx.x, columns = row_op.a.columns, start = row * columns;
    const auto column_of = [](int i) { return (static_cast<std::int64_t>(i) * blockDim.x + threadIdx.x) * chunk_width; };
    float v[chunks][4];
#pragma unroll
    for (int i = 0; i < chunks; ++i) row_op.template load<aligned>(row, start, column_of(i), v[i]);
#pragma unroll
    for (int i = 0; i < chunks; ++i) row_op.template keep<aligned>(start, column_of(i), v[i]);
    float mean = 0.0F, inverse = 1.0F;
    if (row_op.normalises()) {
        const auto count = static_cast<float>(columns);
        if constexpr (Row::is_centred) {
            float sum = 0.0F;
#pragma unroll
            for (int i = 0; i < chunks; ++i) sum += sum_of(v[i]);
            mean = block_sum(sum, sums.first) / count;
        }
        float squares = 0.0F;
#pragma unroll
        for (int i = 0; i < chunks; ++i) squares += squares_of(v[i], mean, column_of(i), columns);
        inverse = rsqrtf(block_sum(squares, sums.second) / count + row_op.a.eps);
    }
#pragma unroll
    for (int i = 0; i < chunks; ++i) row_op.template finish<aligned>(row, column_of(i), mean, inverse, v[i]);
#pragma unroll
    for (int i = 0; i < chunks; ++i) store_chunk<aligned>(row_op.a.out, start, column_of(i), columns, v[i]);
}

// A row of any length: nothing is kept, each pass reads it again. A thread reads only what it has written itself.
template <bool aligned, typename Row>
__global__ void __launch_bounds__(1024) long_row_norm_kernel(Row row_op) {
    RowSums& sums = static_shared<RowSums>();
    const std::int64_t row = blockIdx.x, columns = row_op.a.columns, start = row * columns;
    const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * chunk_width,
                       step = static_cast<std::int64_t>(blockDim.x) * chunk_width;
    float v[4], sum = 0.0F, squares = 0.0F, mean = 0.0F, inverse = 1.0F;
    for (std::int64_t column = first; column < columns; column += step) {
        row_op.template load<aligned>(row, start, column, v);
        row_op.template keep<aligned>(start, column, v);
        sum += sum_of(v);
    }
    if (row_op.normalises()) {
        const auto count = static_cast<float>(columns);
        if constexpr (Row::is_centred) mean = block_sum(sum, sums.first) / count;
        for (std::int64_t column = first; column < columns; column += step) {
            row_op.template reload<aligned>(start, column, v);
            squares += squares_of(v, mean, column, columns);
        }
        inverse = rsqrtf(block_sum(squares, sums.second) / count + row_op.a.eps);
    }
    for (std::int64_t column = first; column < columns; column += step) {
        row_op.template reload<aligned>(start, column, v);
        row_op.template finish<aligned>(row, column, mean, inverse, v);
        store_chunk<aligned>(row_op.a.out, start, column, columns, v);
    }
}

template <bool aligned, typename Row>
void launch_rows(const Row& row, LaunchStream stream) {
    const std::int64_t chunks = chunks_of(row.a.columns);
    const dim3 grid(static_cast<unsigned>(row.a.rows));
    const auto warps = [&](int per_thread) { return dim3(32 * blocks_for(chunks, std::int64_t{32} * per_thread)); };
    if (chunks <= 128) launch(row_norm_kernel<1, aligned, Row>, grid, warps(1), 0, stream, row);
    else if (chunks <= 3 * 128) launch(row_norm_kernel<3, aligned, Row>, grid, warps(3), 0, stream, row);
    else if (chunks <= 8 * 512) launch(row_norm_kernel<8, aligned, Row>, grid, warps(8), 0, stream, row);
    else launch(long_row_norm_kernel<aligned, Row>, grid, dim3(1024), 0, stream, row);
}
template <typename Row>
void launch_rows(const Row& row, bool aligned, LaunchStream stream) {
    if (aligned && row.a.columns % chunk_width == 0) launch_rows<true>(row, stream);
    else launch_rows<false>(row, stream);
}

}  // namespace

void launch_norm_modulate(const NormModulate& a, cudaStream_t stream) {
    const bool aligned = chunks_aligned(a.x) && chunks_aligned(a.shift) && chunks_aligned(a.scale) && chunks_aligned(a.out);
    launch_rows(LayerNormRow{{a}}, aligned, stream);
}

void launch_residual_norm(const ResidualNorm& a, cudaStream_t stream) {
    const bool aligned = chunks_aligned(a.y) && chunks_aligned(a.values) && chunks_aligned(a.gate) && chunks_aligned(a.shift) &&
                         chunks_aligned(a.scale) && chunks_aligned(a.out);
    if (a.y.is_bf16) launch_rows(ResidualRow<std::uint16_t>{a}, aligned, stream);
    else launch_rows(ResidualRow<float>{a}, aligned, stream);
}

void launch_rms_norm(const RmsNorm& a, cudaStream_t stream) {
    launch_rows(RmsNormRow{{a}}, chunks_aligned(a.x) && chunks_aligned(a.weight) && chunks_aligned(a.out), stream);
}

}  // namespace t2i::cuda
