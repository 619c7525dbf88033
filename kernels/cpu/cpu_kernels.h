// SIMD kernels for the CPU. Each runs on the calling thread over the part it is given; the backend cuts the
// work into parts that do not depend on the number of threads. Highway compiles each file for every
// instruction set and picks one at run time, so all functions here are plain C++.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_type.h"
#include "kernels/elements.h"
#include "kernels/function.h"

namespace t2i::cpu {

using kernels::BlockType;
using kernels::Elements;
using kernels::Function;
using kernels::MutableElements;

// ---- products (product.cpp) ----

// Columns that the inner loop makes at a time; packed matrices are padded to a multiple of it.
std::int64_t panel_width();
// Rows that the inner loop makes at a time: tiles whose rows are a multiple of it waste nothing.
std::int64_t panel_rows();
const char* simd_target_name();

// w [N, K], rows `stride` apart → panels [ceil(N / width)][K][width], zero beyond N.
void pack_panels(const float* w, std::int64_t n, std::int64_t k, std::int64_t stride, float* panels);

// ---- block types (blocks.cpp) ----

// One block of each of `rows` rows, `block_bytes` apart → f32, rows of a whole block `stride` apart. The values are exactly those
// of unpack_blocks(): a scale times an integer, then a minimum subtracted, each rounded.
void unpack_blocks(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::int64_t rows, float* to,
                   std::int64_t stride);

// What happens between the sums and memory:
//   value = f(sum + bias[n] + before[m, n]);  out[m, n] = value · gate[m / rows_per_gate, n] + after[m mod
//   after_rows, n]
// Pointers may be null (no bias, no gate, …). All matrices have `columns` columns.
struct Epilogue {
    std::int64_t columns = 0;
    const float* bias = nullptr;
    Elements before;
    Function function = Function::identity;
    const float* gate = nullptr;
    std::int64_t rows_per_gate = 1;
    const float* after = nullptr;
    std::int64_t after_rows = 1;
    MutableElements out;
};

// Rows [row_begin, row_begin + row_count) and columns [column_begin, column_end) of X·Wᵀ, column_begin a
// multiple of panel_width(). Row i of the tile is the concatenation of `taps` runs of `k` elements, the t-th
// at rows[t · row_count + i]: one run for a matrix, one per filter tap for a convolution (the indirect
// convolution of Dukhan 2019, arXiv:1907.02129), so no picture is ever unfolded. Each sum is one chain of
// fused multiply-adds in the order of K, whatever the tile: a row's result depends on that row.
struct ProductTile {
    const float* const* rows;
    std::int64_t taps, k;
    std::int64_t row_begin, row_count, column_begin, column_end;
    std::int64_t first_panel_column = 0;  // a multiple of panel_width()
    const float* panels;                  // of the matrix from that column on, [.][taps · k][width]
};
void product_tile(const ProductTile& tile, const Epilogue& epilogue);

// The epilogue alone, over sums [row_count, sums_stride] made elsewhere.
void finish_tile(const float* sums, std::int64_t sums_stride, std::int64_t row_begin, std::int64_t row_count,
                 std::int64_t column_begin, std::int64_t column_end, const Epilogue& epilogue);

// ---- bf16 products (bf16_product.cpp) ----

// How the CPU multiplies bf16 with sums in f32: not at all, by AVX-512 BF16's dot products, or by AMX's tiles.
enum class Bf16Kernel { none, avx512, amx };
// The fastest that this CPU has and its system allows.
Bf16Kernel bf16_kernel();

// Whether this CPU multiplies faster by it than in f32. AVX-512 BF16 alone pays on AMD's CPUs, which issue its dot products as
// often as multiply-adds; on a Xeon they reach 180 GFLOP/s where f32 reaches 365 (measured).
bool bf16_is_quick(Bf16Kernel kernel);

// Columns that are made at a time, and elements of K; packed matrices are padded with zeros to a multiple of both.
constexpr std::int64_t bf16_panel = 32, bf16_step = 32;

// w [N, K], rows `stride` apart, or w [K, N], a matrix to multiply by from the left → panels [N / 32][K / 32][2][16][16][2]:
// of 32 columns and 32 of K two tiles of 16 columns, each with pairs of neighbours in K side by side.
void pack_bf16(const std::uint16_t* w, std::int64_t n, std::int64_t k, std::int64_t stride, std::uint16_t* panels);
// One block of each of 16 rows, `block_bytes` apart → what pack_bf16 makes of their numbers: a tile in each of the panel's steps
// of 32 elements of K, from `panel` on. Where bf16_kernel() offers a kernel (bf16_blocks.cpp).
void unpack_bf16_tiles(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::uint16_t* panel);
void pack_bf16_columns(const std::uint16_t* w, std::int64_t k, std::int64_t n, std::int64_t stride, std::uint16_t* panels);

// The weights of some columns: the first block of each of them side by side, then the second ones, `stride` bytes on.
struct BlockColumns {
    BlockType type;
    const std::byte* blocks;
    std::int64_t block_bytes, block_values;
    std::int64_t stride;
};

// The dot products of a row of X with 16 columns, without a panel: in one chain each, in the order and to the bit of the kernel
// avx512, which must be bf16_kernel().
void multiply_block_tile(const BlockColumns& weights, const std::uint16_t* x, std::int64_t k, float* sums);

// Some rows of X times some panels. `more` may be null; else the sums are of (x + more) · panel. Rows are readable up to a
// multiple of 32 elements, and what lies beyond K is finite.
struct Bf16Rows {
    const std::uint16_t* x;
    const std::uint16_t* more;
    std::int64_t stride, rows, steps;  // steps: of 32 elements of K
    const std::uint16_t* panel;
    std::int64_t panels, panel_stride;  // the stride spans all packed steps, also where fewer are asked for
    std::int64_t sums_stride;
    // Called after every step of every block of 32 rows (AVX-512: 12), or null: vector work that runs while the tiles
    // multiply.
    void (*overlapped)(void* context);
    void* context;
    bool goes_on = false;  // from the sums that are there: K in pieces, the same chain
};
// sums [rows, 32 · panels], rows `sums_stride` apart; a sum is one chain in the order of K, so that it depends neither on
// the other rows nor on their number.
// `kernel` is not none, and one that bf16_kernel() offers or a lesser one.
void multiply_bf16(Bf16Kernel kernel, const Bf16Rows& rows, float* sums);

// ---- 3x3 convolutions of stride 1 (winograd.cpp) ----

// w [Cout, Cin, 3, 3] → as winograd_band wants it, for a picture that is doubled first or not.
std::int64_t winograd_filter_floats(std::int64_t out_channels, std::int64_t in_channels, bool doubled);
void pack_winograd(const float* w, std::int64_t out_channels, std::int64_t in_channels, bool doubled, float* packed);

// Some rows of output tiles, and some of the output channels, of
//   out[y, x, o] = function(conv(input)[y, x, o] + bias[o] + residual[y, x, o])
// where input = input_function((x - mean[c]) · gain[c] + shift[c]), each pixel four times if `doubled`.
// An output's sums do not depend on how a picture is cut into bands.
struct WinogradBand {
    Elements x;  // the picture [H, W, Cin]
    std::int64_t height, width, channels;
    const float *mean, *gain, *shift;  // [Cin]; mean null: the input is x
    Function input_function;
    bool doubled;            // then all padding is 1
    std::int64_t top, left;  // zeros before the first row and column
    const float* filter;     // packed, all of it
    const float* bias;       // [Cout] or null
    const void* residual;    // as out, in its type, or null
    Function function;
    MutableElements out;  // [H', W', Cout]
    std::int64_t out_height, out_width, out_channels;
    std::int64_t tile_row_begin, tile_row_end;  // each winograd_tile() output rows; the last may end outside
    std::int64_t column_begin, column_end;      // of Cout, column_begin a multiple of panel_width()
};
std::int64_t winograd_tile(bool doubled);                 // outputs of a tile along one axis
std::int64_t winograd_scratch(const WinogradBand& band);  // floats
void winograd_band(const WinogradBand& band, float* scratch);

// How the convolutions of a batch of pictures are cut into bands.
struct WinogradBands {
    WinogradBand picture;  // of the first picture, all rows and columns; mean and gain are [B, Cin]
    std::int64_t batch;
    std::int64_t tile_rows, columns;  // of a band; those at the ends may be smaller
    std::int64_t row_parts, column_parts;
    [[nodiscard]] std::int64_t count() const { return column_parts * batch * row_parts; }
};
// `picture` without a range of tile rows and columns.
WinogradBands winograd_bands(const WinogradBand& picture, std::int64_t batch);
WinogradBand band_of(const WinogradBands& bands, std::int64_t part);  // the first needs the most scratch

// ---- attention (attention.cpp) ----

// Keys and values of one head in panel form: keys [ceil(T / width)][D][width], values [ceil(D /
// width)][T][width].
struct HeadRows {
    Elements data;  // row 0, column 0 of this head
    std::int64_t stride;
};
void pack_keys(const HeadRows& k, std::int64_t tokens, std::int64_t head_size, float* panels);
void pack_values(const HeadRows& v, std::int64_t tokens, std::int64_t head_size, float* panels);

struct AttentionTile {
    HeadRows q;                             // first query of the tile
    std::int64_t queries, keys, head_size;  // keys: how many of the packed ones take part
    std::int64_t packed_keys;               // rows of the value panels
    const float *key_panels, *value_panels;
    float scale;
    const float* bias;  // [queries, bias_stride] or null
    std::int64_t bias_stride;
    MutableElements out;  // first query's output for this head
    std::int64_t out_stride;
    float* scratch;  // attention_scratch() floats, aligned to 64 bytes
};
std::int64_t attention_scratch(std::int64_t queries, std::int64_t keys, std::int64_t head_size);
void attention_tile(const AttentionTile& tile);

// The softmax alone, around products made elsewhere. Scores [queries, stride] → weights e^(scale · score + bias - maximum) as
// sums of two bf16 (so that they are as exact as f32 needs), zeros up to `stride`; inverse [queries], 1 / the sum of a row.
struct SoftmaxTile {
    float* scores;
    std::int64_t stride, queries, keys;
    float scale;
    const float* bias;
    std::int64_t bias_stride;
    std::uint16_t *weights, *rests;
    float* inverse;
};
void softmax_tile(const SoftmaxTile& tile);
// out[i, c] = sums[i, c] · inverse[i], c < columns ≤ sums_stride
void scale_rows(const float* sums, std::int64_t sums_stride, const float* inverse, std::int64_t rows, std::int64_t columns,
                MutableElements out, std::int64_t out_stride);

// ---- normalisation (norm.cpp) ----

// One row of ref::norm_modulate and ref::rms_norm.
void norm_modulate_row(const float* x, const float* shift, const float* scale, std::int64_t c, float eps, MutableElements out);
void rms_norm_row(const float* x, const float* weight, std::int64_t c, float eps, MutableElements out);

// Mean and sum of squared deviations from it, per group, over x [pixels, channels]. `scratch`: 2 · channels
// floats.
struct Moments {
    double count, mean, squares;
};
void group_moments(Elements x, std::int64_t pixels, std::int64_t channels, std::int64_t groups, float* scratch, Moments* moments);
// Joins the moments of `runs` runs of pixels, those of a group `stride` apart, by the rule of Chan, Golub and LeVeque (1983) for
// joining two samples, in the order of the runs. mean and gain = weight[c] / sqrt(variance + eps), of `channels` channels each.
void join_moments(const Moments* moments, std::int64_t runs, std::int64_t stride, float eps, const float* weight,
                  std::int64_t channels, float* mean, float* gain);
// out = f((x - mean[c]) · gain[c] + bias[c]) over [pixels, channels]
void group_apply(Elements x, const float* mean, const float* gain, const float* bias, std::int64_t pixels, std::int64_t channels,
                 Function f, MutableElements out);

// ---- pointwise (pointwise.cpp) ----

void apply(Function f, Elements x, std::int64_t count, MutableElements out);
// stream[c] += gate[c] · y[c]; gate null: += y[c]
void add_gated_row(Elements y, const float* gate, std::int64_t c, float* stream);
void gated_gelu_row(Elements x, std::int64_t f, MutableElements out);  // x [2F] → out [F]
// out[i] = Σ_t coefficients[t] · x[t][i] in double, terms in order.
void lincomb(const double* coefficients, const float* const* x, std::int64_t terms, std::int64_t count, float* out);
void to_rgb8(const float* x, std::int64_t count, std::uint8_t* out);  // ref::to_rgb8
void convert(Elements x, std::int64_t count, MutableElements out);    // copies, rounding to nearest even

}  // namespace t2i::cpu
