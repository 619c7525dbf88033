// Functions of elements: unary, gated GELU, what follows a product, conversions.
//
// Maths    kernels/cuda/functions.cuh; ProductEpilogue in cuda_kernels.h
// Shapes   any count; matrices [M, N]
// Grid     flat: a thread takes a chunk of four, 256 threads a block. Matrices: blocks of 128 threads, as many side by side as a
//          row has chunks (at most 128), the rest on further rows.
// Memory   each element is read and written once: unary 4 bytes an element in bf16, 8 in f32; gated_gelu 6 and 12; epilogue 4
//          (sums) + 4 (residual) + 4; casts the two sizes. That is the limit: tens of FLOP an element.
// Numerics f32 throughout, rounded once. An element's result depends on that element alone.
// Measured not yet on a GPU
#include "kernels/cuda/functions.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int flat_threads = 256, matrix_threads = 128;

// The first of a thread's four elements in a flat grid.
__device__ __forceinline__ std::int64_t flat_position() {
    return (static_cast<std::int64_t>(blockIdx.x) * flat_threads + threadIdx.x) * chunk_width;
}
dim3 flat_grid(std::int64_t count) {
    return dim3(blocks_for(count, flat_threads * chunk_width));
}

struct MatrixGrid {
    dim3 grid, block;
};
MatrixGrid matrix_grid(std::int64_t rows, std::int64_t columns) {
    unsigned across = 1;
    while (across < matrix_threads && across * chunk_width < columns) across *= 2;
    const unsigned down = matrix_threads / across;
    return {dim3(blocks_for(rows, down), blocks_for(columns, across * chunk_width)), dim3(across, down)};
}
__device__ __forceinline__ std::int64_t matrix_row() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}
__device__ __forceinline__ std::int64_t matrix_column() {
    return (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * chunk_width;
}

template <typename T, bool aligned>
__global__ void __launch_bounds__(flat_threads) unary_kernel(Function f, const T* x, std::int64_t count, T* out) {
    const std::int64_t i = flat_position();
    float v[4];
    load_chunk<aligned>(x, i, count, v);
#pragma unroll
    for (float& value : v) value = apply(f, value);
    store_chunk<aligned>(out, i, count, v);
}

template <typename T, bool aligned>
__global__ void __launch_bounds__(matrix_threads) gated_gelu_kernel(const T* x, std::int64_t rows, std::int64_t columns, T* out) {
    const std::int64_t row = matrix_row(), column = matrix_column();
    if (row >= rows) return;
    float v[4], gate[4];
    load_chunk<aligned>(x + row * 2 * columns, column, columns, v);
    load_chunk<aligned>(x + row * 2 * columns + columns, column, columns, gate);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = gelu_tanh(v[i]) * gate[i];
    store_chunk<aligned>(out + row * columns, column, columns, v);
}

template <bool aligned>
__global__ void __launch_bounds__(matrix_threads) product_epilogue_kernel(ProductEpilogue a) {
    const std::int64_t row = matrix_row(), column = matrix_column();
    if (row >= a.rows) return;
    const std::int64_t start = row * a.columns;
    float v[4], bias[4] = {}, before[4] = {}, gate[4] = {1.0F, 1.0F, 1.0F, 1.0F}, after[4] = {};
    load_chunk<aligned>(a.x + start, column, a.columns, v);
    if (a.bias) load_chunk<aligned>(a.bias, column, a.columns, bias);
    if (a.before.data) load_chunk<aligned>(a.before, start, column, a.columns, before);
    if (a.gate) load_chunk<aligned>(a.gate + row / a.rows_per_gate * a.columns, column, a.columns, gate);
    if (a.after) load_chunk<aligned>(a.after + row % a.after_rows * a.columns, column, a.columns, after);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = fmaf(apply(a.function, v[i] + bias[i] + before[i]), gate[i], after[i]);
    store_chunk<aligned>(a.out, start, column, a.columns, v);
}

template <typename From, typename To, bool aligned>
__global__ void __launch_bounds__(flat_threads) cast_kernel(const From* x, std::int64_t count, To* out) {
    const std::int64_t i = flat_position();
    float v[4];
    load_chunk<aligned>(x, i, count, v);
    store_chunk<aligned>(out, i, count, v);
}

template <typename T>
void launch_unary(Function f, Elements x, std::int64_t count, MutableElements out, bool aligned, LaunchStream stream) {
    const auto kernel = aligned ? unary_kernel<T, true> : unary_kernel<T, false>;
    launch(kernel, flat_grid(count), dim3(flat_threads), 0, stream, f, static_cast<const T*>(x.data), count,
           static_cast<T*>(out.data));
}

template <typename T>
void launch_gated_gelu(Elements x, std::int64_t rows, std::int64_t columns, MutableElements out, bool aligned,
                       LaunchStream stream) {
    const auto kernel = aligned ? gated_gelu_kernel<T, true> : gated_gelu_kernel<T, false>;
    const MatrixGrid g = matrix_grid(rows, columns);
    launch(kernel, g.grid, g.block, 0, stream, static_cast<const T*>(x.data), rows, columns, static_cast<T*>(out.data));
}

template <typename From, typename To>
void launch_cast(const void* x, std::int64_t count, void* out, LaunchStream stream) {
    const bool aligned = count % chunk_width == 0 && is_aligned(x, 4 * sizeof(From)) && is_aligned(out, 4 * sizeof(To));
    const auto kernel = aligned ? cast_kernel<From, To, true> : cast_kernel<From, To, false>;
    launch(kernel, flat_grid(count), dim3(flat_threads), 0, stream, static_cast<const From*>(x), count, static_cast<To*>(out));
}

}  // namespace

void launch_unary(Function f, Elements x, std::int64_t count, MutableElements out, cudaStream_t stream) {
    const bool aligned = count % chunk_width == 0 && chunks_aligned(x) && chunks_aligned(out);
    if (x.is_bf16) launch_unary<std::uint16_t>(f, x, count, out, aligned, stream);
    else launch_unary<float>(f, x, count, out, aligned, stream);
}

void launch_gated_gelu(Elements x, std::int64_t rows, std::int64_t columns, MutableElements out, cudaStream_t stream) {
    const bool aligned = columns % chunk_width == 0 && chunks_aligned(x) && chunks_aligned(out);
    if (x.is_bf16) launch_gated_gelu<std::uint16_t>(x, rows, columns, out, aligned, stream);
    else launch_gated_gelu<float>(x, rows, columns, out, aligned, stream);
}

void launch_product_epilogue(const ProductEpilogue& a, cudaStream_t stream) {
    const bool aligned = a.columns % chunk_width == 0 && chunks_aligned(a.x) && chunks_aligned(a.bias) &&
                         chunks_aligned(a.before) && chunks_aligned(a.gate) && chunks_aligned(a.after) && chunks_aligned(a.out);
    const MatrixGrid g = matrix_grid(a.rows, a.columns);
    launch(aligned ? product_epilogue_kernel<true> : product_epilogue_kernel<false>, g.grid, g.block, 0, stream, a);
}

void launch_cast(const void* x, Storage from, std::int64_t count, void* out, Storage to, cudaStream_t stream) {
    const bool widens = from == Storage::bf16, narrows = to == Storage::bf16;
    if (from == Storage::f16) launch_cast<Half, float>(x, count, out, stream);
    else if (widens && narrows) launch_cast<std::uint16_t, std::uint16_t>(x, count, out, stream);
    else if (widens) launch_cast<std::uint16_t, float>(x, count, out, stream);
    else if (narrows) launch_cast<float, std::uint16_t>(x, count, out, stream);
    else launch_cast<float, float>(x, count, out, stream);
}

}  // namespace t2i::cuda
