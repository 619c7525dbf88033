// Kernels for NVIDIA GPUs: what each computes and how it is launched. Pointers are to the GPU's memory unless "host" stands
// beside them; everything is queued on `stream` and may read or write its memory later. Launchers throw only through
// check_launch. Formulas stand in kernels/ref/ref_kernels.h.
//
// Matrices are row-major; a null pointer is an absent optional argument. A row's (or a picture's) result depends neither on
// the rows beside it nor on their number, and two runs give the same bits. bf16 elements are std::uint16_t holding the upper
// half of a binary32, rounded to nearest even. NaN goes in, NaN comes out.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/block_type.h"
#include "kernels/elements.h"
#include "kernels/function.h"

namespace t2i::cuda {

using kernels::BlockType;
using kernels::Elements;
using kernels::Function;
using kernels::MutableElements;

// Throws when `status` is not success. Defined by those who queue kernels (src/backend/gpu/device_ops.cpp).
void check_launch(cudaError_t status, const char* launcher);

// ---- norms of rows (norm.cu) ----

// out = LayerNorm(x) ⊙ (1 + scale) + shift; row m uses row m / rows_per_group of shift and scale.
struct NormModulate {
    std::int64_t rows = 0, columns = 0;
    const float* x = nullptr;                        // [M, C]
    const float *shift = nullptr, *scale = nullptr;  // [M / rows_per_group, C]
    std::int64_t rows_per_group = 1;
    float eps = 0;
    MutableElements out = {};  // [M, C]; may be x
};
void launch_norm_modulate(const NormModulate& a, cudaStream_t stream);

// stream_values += gate ⊙ y; then out = LayerNorm(stream_values) ⊙ (1 + scale) + shift, or, where shift is null, stream_values.
struct ResidualNorm {
    std::int64_t rows = 0, columns = 0;
    Elements y = {};              // [M, C]
    const float* gate = nullptr;  // [M / rows_per_gate, C]
    std::int64_t rows_per_gate = 1;
    float* values = nullptr;                         // [M, C]: the residual stream, in place
    const float *shift = nullptr, *scale = nullptr;  // [M / rows_per_group, C], both or neither
    std::int64_t rows_per_group = 1;
    float eps = 0;
    MutableElements out = {};  // [M, C]; may be y where the types are the same
};
void launch_residual_norm(const ResidualNorm& a, cudaStream_t stream);

// out = x / sqrt(mean(x²) + eps) ⊙ weight
struct RmsNorm {
    std::int64_t rows = 0, columns = 0;
    const float *x = nullptr, *weight = nullptr;  // [M, C], [C]
    float eps = 0;
    MutableElements out = {};  // [M, C]; may be x
};
void launch_rms_norm(const RmsNorm& a, cudaStream_t stream);

// ---- norms of pictures (group_norm.cu) ----

struct GroupNorm {
    std::int64_t batch = 0, pixels = 0, channels = 0, groups = 0;
    Elements x = {};                                 // [B, P, C]
    const float *weight = nullptr, *bias = nullptr;  // [C]
    float eps = 0;
    bool silu = false;
    MutableElements out = {};  // [B, P, C]; may be x
};
// Bytes of `scratch` that launch_group_norm needs for a call of this shape.
std::size_t group_norm_scratch_bytes(std::int64_t batch, std::int64_t pixels, std::int64_t channels, std::int64_t groups);
void launch_group_norm(const GroupNorm& a, void* scratch, cudaStream_t stream);

// ---- elements (pointwise.cu) ----

// `x` and `out` are of one type; out may be x.
void launch_unary(Function f, Elements x, std::int64_t count, MutableElements out, cudaStream_t stream);
// out[m, f] = gelu_tanh(x[m, f]) · x[m, F + f].  x [M, 2F], out [M, F], one type
void launch_gated_gelu(Elements x, std::int64_t rows, std::int64_t columns, MutableElements out, cudaStream_t stream);

// What a product's library call cannot do: value = f(x + bias[n] + before[m, n]);
// out[m, n] = value · gate[m / rows_per_gate, n] + after[m mod after_rows, n].
struct ProductEpilogue {
    std::int64_t rows = 0, columns = 0;
    const float* x = nullptr;     // [M, N]: sums; may be out
    const float* bias = nullptr;  // [N]
    Elements before = {};         // [M, N]; may be out
    Function function = Function::identity;
    const float* gate = nullptr;  // [M / rows_per_gate, N]
    std::int64_t rows_per_gate = 1;
    const float* after = nullptr;  // [after_rows, N]; may be out where after_rows = M
    std::int64_t after_rows = 1;
    MutableElements out = {};  // [M, N]
};
void launch_product_epilogue(const ProductEpilogue& a, cudaStream_t stream);

enum class Storage : std::uint8_t { f32, bf16, f16 };
// f32 ↔ bf16, f32 → f32, bf16 → bf16, f16 → f32.
void launch_cast(const void* x, Storage from, std::int64_t count, void* out, Storage to, cudaStream_t stream);

// ---- block types (blocks.cu) ----

// `count` values in whole blocks (any alignment) → f32 or bf16.
void launch_unpack_blocks(BlockType type, const void* blocks, std::int64_t count, MutableElements out, cudaStream_t stream);

// ---- sums of a sampler (sampler.cu) ----

// Most terms of one sum: they travel as a kernel's parameter.
inline constexpr int max_sum_terms = 16;
// Σ coefficients[t] · x[t][i], in double, in the order of the terms, rounded once to f32: as ref's lincomb, bit for bit.
struct Sum {
    int terms = 0;
    double coefficients[max_sum_terms] = {};
    const float* x[max_sum_terms] = {};
};
// out may be one of the inputs.
void launch_lincomb(const Sum& sum, std::int64_t count, float* out, cudaStream_t stream);

// x0 = Σ to_x0; x = Σ to_x (whose terms may be x0 and x); inputs[c, i] = input_scale · x[i] for each copy c;
// first_bad = min(first_bad, step) if an x is not finite.
struct SamplerUpdate {
    std::int64_t count = 0;
    Sum to_x0 = {}, to_x = {};
    float *x0 = nullptr, *x = nullptr;  // [count]
    double input_scale = 1;
    float* inputs = nullptr;  // [copies, count]
    std::int64_t copies = 0;
    std::int32_t step = 0;
    std::int32_t* first_bad = nullptr;  // [1]
};
void launch_sampler_update(const SamplerUpdate& a, cudaStream_t stream);

// x[i] = clamp(x[i], -range, range); a NaN stays one.
void launch_clamp(float* x, std::int64_t count, float range, cudaStream_t stream);
// Row by row x = clamp(x, -s, s) / s, s = clamp(q, 1, range), q = a + weight (b - a) with a and b the elements of the row's
// sorted |x| at `below` and after it.  x: [rows, columns]
void launch_threshold(float* x, std::int64_t rows, std::int32_t columns, std::int32_t below, double weight, float range,
                      cudaStream_t stream);

// ---- tables and tokens (embed.cu) ----

// out[n, :] = table[ids[n], :].  ids: host, read during the call
void launch_gather(const void* table, Storage type, std::int64_t columns, const std::int32_t* ids, std::int64_t count, float* out,
                   cudaStream_t stream);
// out [N, C] = [cos(t·f_k), sin(t·f_k)], f_k = exp(-ln(10⁴)·k / (C/2 - shift)).  timesteps: host, read during the call
void launch_timestep_embed(const float* timesteps, std::int64_t count, std::int64_t columns, float shift, MutableElements out,
                           cudaStream_t stream);

struct Patches {
    std::int64_t batch = 0, channels = 0, height = 0, width = 0, patch = 1;
    std::int64_t token_channels = 0;  // of unpatchify's tokens, ≥ channels
};
// latents [B, C, H, W] → out [B·(H/p)·(W/p), C·p·p], column c·p² + y·p + x
void launch_patchify(const Patches& p, const float* latents, MutableElements out, cudaStream_t stream);
// tokens [B·(H/p)·(W/p), p·p·Cx], column (y·p + x)·Cx + c → out [B, C, H, W]
void launch_unpatchify(const Patches& p, const float* tokens, float* out, cudaStream_t stream);

// ---- pictures (picture.cu) ----

// x [B, H, W, C] → out [B, 2H, 2W, C], one type
void launch_upsample2x(Elements x, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels,
                       MutableElements out, cudaStream_t stream);
// [B, C, P] f32 → [B, P, C]
void launch_to_channels_last(const float* x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, MutableElements out,
                             cudaStream_t stream);
// [B, P, C] → [B, C, P] f32
void launch_to_channels_first(Elements x, std::int64_t batch, std::int64_t channels, std::int64_t pixels, float* out,
                              cudaStream_t stream);
// round(clamp(x / 2 + ½, 0, 1) · 255), ties to even, NaN → 0
void launch_to_rgb8(const float* x, std::int64_t count, std::uint8_t* out, cudaStream_t stream);

// ---- attention (attention.cu) ----

// One operand: rows of `stride` elements; `data` is column 0 of head 0.
struct HeadColumns {
    const void* data = nullptr;
    std::int64_t stride = 0;
};
// out[b, i, h, :] = Σ_j softmax_j(scale · q·k_j + bias[h, i, j]) v_j, j < key_lengths[b]. batch and heads below 65,536.
struct Attention {
    std::int64_t batch = 1, heads = 1, queries = 0, keys = 0, head_size = 0;
    bool is_bf16 = false;  // of q, k, v and out
    // bf16 alone: weights meet the values rounded to bf16, 2^-8 off, instead of in two parts, 2^-16 off: two thirds of the work.
    bool rounded_weights = false;
    HeadColumns q = {}, k = {}, v = {};  // [B·queries, ·], [B·keys, ·]
    float scale = 1;
    const float* bias = nullptr;                // [heads, queries, keys]
    const std::int32_t* key_lengths = nullptr;  // [B], in [1, keys]; null: all keys
    void* out = nullptr;                        // [B·queries, heads·head_size]
};
void launch_attention(const Attention& a, cudaStream_t stream);

}  // namespace t2i::cuda
