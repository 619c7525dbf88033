// Pictures: nearest-2x, the two orders of channels, and bytes.
//
// Maths    kernels/ref/ref_kernels.h: upsample2x, to_channels_last, to_channels_first, to_rgb8
// Shapes   [B, H, W, C] channels last, [B, C, P] channels first
// Grid     upsample2x: (B·H, tiles of 256 pieces of a row), a piece of 16 bytes where pixels divide into them; transposes: tiles
// of
//          32 x 32 through shared memory, (⌈P / 32⌉·⌈C / 32⌉, 1, B) blocks of 32 x 8; up to 8 channels: a pixel a thread, whose
//          strided side stays in the first-level cache; to_rgb8: four elements a thread
// Memory   each element is read once; upsample2x writes it four times, the others once: the limit
// Numerics moves, rounding at most once; to_rgb8 in f32 steps with ties to even, a NaN becomes 0
// Measured not yet on a GPU
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int flat_threads = 256, tile = 32, tile_rows = 8;
constexpr std::int64_t few_channels = 8;

struct Piece16 {
    __device__ static uint4 load(const void* p) { return load_16(p); }
    __device__ static void store(void* p, uint4 v) { store_16(p, v); }
    static constexpr std::int64_t bytes = 16;
};
template <typename T>
struct PieceOf {
    __device__ static T load(const void* p) { return *static_cast<const T*>(p); }
    __device__ static void store(void* p, T v) { *static_cast<T*>(p) = v; }
    static constexpr std::int64_t bytes = sizeof(T);
};

// Rows of `width` pixels of `pieces` pieces.
template <typename Piece>
__global__ void __launch_bounds__(flat_threads)
    upsample2x_kernel(const unsigned char* x, std::int64_t width, std::int64_t pieces, unsigned char* out) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.y) * flat_threads + threadIdx.x, in_row = width * pieces;
    if (i >= in_row) return;
    const auto value = Piece::load(x + (blockIdx.x * in_row + i) * Piece::bytes);
    const std::int64_t pixel = i / pieces, piece = i % pieces, out_row = 2 * in_row;
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * 2 * out_row + 2 * pixel * pieces + piece;
    Piece::store(out + first * Piece::bytes, value);
    Piece::store(out + (first + pieces) * Piece::bytes, value);
    Piece::store(out + (first + out_row) * Piece::bytes, value);
    Piece::store(out + (first + out_row + pieces) * Piece::bytes, value);
}

template <typename Piece>
void launch_upsample(const void* x, std::int64_t rows, std::int64_t width, std::int64_t pixel_bytes, void* out,
                     LaunchStream stream) {
    const std::int64_t pieces = pixel_bytes / Piece::bytes;
    launch(upsample2x_kernel<Piece>, dim3(static_cast<unsigned>(rows), blocks_for(width * pieces, flat_threads)),
           dim3(flat_threads), 0, stream, static_cast<const unsigned char*>(x), width, pieces, static_cast<unsigned char*>(out));
}

// x [B, rows, columns] → out [B, columns, rows].
struct TransposeTile {
    float at[tile][tile + 1];  // one column more: lanes of a column then lie in different banks
};
template <typename From, typename To>
__global__ void __launch_bounds__(tile* tile_rows)
    transpose_kernel(const From* x, std::int64_t rows, std::int64_t columns, To* out) {
    TransposeTile& shared = static_shared<TransposeTile>();
    const std::int64_t picture = blockIdx.z * rows * columns, across = (columns + tile - 1) / tile;
    const std::int64_t first_row = blockIdx.x / across * tile, first_column = blockIdx.x % across * tile;
    const int x_in = static_cast<int>(threadIdx.x), y_in = static_cast<int>(threadIdx.y);
    for (int i = y_in; i < tile; i += tile_rows)
        if (first_row + i < rows && first_column + x_in < columns)
            shared.at[i][x_in] = to_float(x[picture + (first_row + i) * columns + first_column + x_in]);
    __syncthreads();
    for (int i = y_in; i < tile; i += tile_rows)
        if (first_column + i < columns && first_row + x_in < rows)
            store_one(out + picture + (first_column + i) * rows + first_row + x_in, shared.at[x_in][i]);
}

// The same where channels are few: a thread takes one pixel.
template <typename From, typename To>
__global__ void __launch_bounds__(flat_threads)
    few_channels_last_kernel(const From* x, std::int64_t channels, std::int64_t pixels, To* out) {
    const std::int64_t pixel = static_cast<std::int64_t>(blockIdx.x) * flat_threads + threadIdx.x,
                       picture = blockIdx.z * channels * pixels;
    if (pixel >= pixels) return;
    for (std::int64_t c = 0; c < channels; ++c)
        store_one(out + picture + pixel * channels + c, to_float(x[picture + c * pixels + pixel]));
}
template <typename From, typename To>
__global__ void __launch_bounds__(flat_threads)
    few_channels_first_kernel(const From* x, std::int64_t channels, std::int64_t pixels, To* out) {
    const std::int64_t pixel = static_cast<std::int64_t>(blockIdx.x) * flat_threads + threadIdx.x,
                       picture = blockIdx.z * channels * pixels;
    if (pixel >= pixels) return;
    for (std::int64_t c = 0; c < channels; ++c)
        store_one(out + picture + c * pixels + pixel, to_float(x[picture + pixel * channels + c]));
}

dim3 pixel_grid(std::int64_t pixels, std::int64_t batch) {
    return {blocks_for(pixels, flat_threads), 1, static_cast<unsigned>(batch)};
}
// All tiles of a picture along one extent: pixels may be more than the second one takes.
dim3 tile_grid(std::int64_t batch, std::int64_t rows, std::int64_t columns) {
    return {blocks_for(rows, tile) * blocks_for(columns, tile), 1, static_cast<unsigned>(batch)};
}

template <typename To>
void launch_channels_last(const float* x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, void* out,
                          LaunchStream stream) {
    auto* const to = static_cast<To*>(out);
    if (channels <= few_channels)
        launch(few_channels_last_kernel<float, To>, pixel_grid(pixels, batch), dim3(flat_threads), 0, stream, x, channels, pixels,
               to);
    else
        launch(transpose_kernel<float, To>, tile_grid(batch, channels, pixels), dim3(tile, tile_rows), 0, stream, x, channels,
               pixels, to);
}
template <typename From>
void launch_channels_first(const void* x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, float* out,
                           LaunchStream stream) {
    const auto* const from = static_cast<const From*>(x);
    if (channels <= few_channels)
        launch(few_channels_first_kernel<From, float>, pixel_grid(pixels, batch), dim3(flat_threads), 0, stream, from, channels,
               pixels, out);
    else
        launch(transpose_kernel<From, float>, tile_grid(batch, pixels, channels), dim3(tile, tile_rows), 0, stream, from, pixels,
               channels, out);
}

__device__ __forceinline__ std::uint8_t to_byte(float x) {
    const float unit = x * 0.5F + 0.5F;
    // Written so that a NaN fails the first comparison and becomes 0.
    const float inside = unit > 0.0F ? (unit < 1.0F ? unit : 1.0F) : 0.0F;
    return static_cast<std::uint8_t>(rintf(inside * 255.0F));
}
template <bool aligned>
__global__ void __launch_bounds__(flat_threads) to_rgb8_kernel(const float* x, std::int64_t count, std::uint8_t* out) {
    const std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * flat_threads + threadIdx.x) * chunk_width;
    float v[4];
    load_chunk<aligned>(x, i, count, v);
    if constexpr (aligned) {
        if (i < count)
            *reinterpret_cast<uchar4*>(out + i) = make_uchar4(to_byte(v[0]), to_byte(v[1]), to_byte(v[2]), to_byte(v[3]));
    } else {
        for (int j = 0; j < chunk_width; ++j)
            if (i + j < count) out[i + j] = to_byte(v[j]);
    }
}

}  // namespace

void launch_upsample2x(Elements x, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                       MutableElements out, cudaStream_t stream) {
    const std::int64_t pixel_bytes = channels * (x.is_bf16 ? 2 : 4), rows = batch * height;
    if (pixel_bytes % 16 == 0 && is_aligned(x.data, 16) && is_aligned(out.data, 16))
        launch_upsample<Piece16>(x.data, rows, width, pixel_bytes, out.data, stream);
    else if (x.is_bf16) launch_upsample<PieceOf<std::uint16_t>>(x.data, rows, width, pixel_bytes, out.data, stream);
    else launch_upsample<PieceOf<std::uint32_t>>(x.data, rows, width, pixel_bytes, out.data, stream);
}

void launch_to_channels_last(const float* x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, MutableElements out,
                             cudaStream_t stream) {
    if (out.is_bf16) launch_channels_last<std::uint16_t>(x, batch, channels, pixels, out.data, stream);
    else launch_channels_last<float>(x, batch, channels, pixels, out.data, stream);
}

void launch_to_channels_first(Elements x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, float* out,
                              cudaStream_t stream) {
    if (x.is_bf16) launch_channels_first<std::uint16_t>(x.data, batch, channels, pixels, out, stream);
    else launch_channels_first<float>(x.data, batch, channels, pixels, out, stream);
}

void launch_to_rgb8(const float* x, std::int64_t count, std::uint8_t* out, cudaStream_t stream) {
    const bool aligned = count % chunk_width == 0 && is_aligned(x, 16) && is_aligned(out, 4);
    launch(aligned ? to_rgb8_kernel<true> : to_rgb8_kernel<false>, dim3(blocks_for(count, flat_threads * chunk_width)),
           dim3(flat_threads), 0, stream, x, count, out);
}

}  // namespace t2i::cuda
