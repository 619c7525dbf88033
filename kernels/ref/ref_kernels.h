// Every operation, once, in the plainest form that is right: scalar loops, double accumulation. These
// functions say what the operations mean; all other backends are tested against them.
//
// Matrices are row-major. An In with null data is an absent optional argument.
#pragma once

#include <array>

#include "kernels/function.h"
#include "kernels/ref/elements.h"

namespace t2i::ref {

using kernels::Function;

// identity x; relu max(x, 0); silu x·σ(x) (Elfwing et al. 2018, arXiv:1702.03118);
// gelu_tanh ½x(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks and Gimpel 2016, arXiv:1606.08415);
// soft_clamp3 3·tanh(x/3) (madebyollin/taesd, class Clamp); exp eˣ.
double apply(Function f, double x);

// out[m, n] = residual[m mod R, n] + gate[m / (M / G), n] · f(Σ_k x[m, k]·w[n, k] + bias[n]).
struct Linear {
    std::int64_t m, n, k;
    In x;                 // [M, K]
    const float* weight;  // [N, K]
    In bias;              // [N]
    Function function;
    In gate;                     // [G, N]
    std::int64_t gate_rows;      // G
    In residual;                 // [R, N]
    std::int64_t residual_rows;  // R
    Out out;                     // [M, N]
};
void linear(const Linear& a);

// One operand of attention: rows of `stride` elements, of which those from `begin` on are used.
struct Rows {
    In data;
    std::int64_t stride, begin;
};
// out[b, i, h, :] = Σ_j p_j v[b, j, h, :], p = softmax_j(scale · q[b, i, h]·k[b, j, h] + bias[h, i, j]), j <
// lengths[b] (Vaswani et al. 2017, arXiv:1706.03762, eq. 1; the maximum is taken off before exp, which
// changes nothing but range).
struct Attention {
    std::int64_t batch, heads, queries, keys, head_size;
    Rows q, k, v;
    float scale;
    In bias;                      // [heads, queries, keys]
    const std::int32_t* lengths;  // [batch], or null: all keys
    Out out;                      // [batch·queries, heads·head_size]
};
void attention(const Attention& a);

// out[m, c] = (x[m, c] - mean_m) / sqrt(var_m + eps) · (1 + scale[g, c]) + shift[g, c], g = m / (M / G), var
// biased (Ba et al. 2016, arXiv:1607.06450; modulation: Peebles and Xie 2023, arXiv:2212.09748, adaLN).
void norm_modulate(In x, In shift, In scale, std::int64_t m, std::int64_t c, std::int64_t groups, float eps, Out out);

// out[m, c] = x[m, c] / sqrt(mean_c(x²) + eps) · weight[c]  (Zhang and Sennrich 2019, arXiv:1910.07467; T5's
// layer norm).
void rms_norm(In x, In weight, std::int64_t m, std::int64_t c, float eps, Out out);

// x [B, P, C]: per picture and group of C / groups channels, mean and biased variance over its P·(C / groups)
// elements; out = f((x - mean) / sqrt(var + eps) · weight[c] + bias[c])  (Wu and He 2018, arXiv:1803.08494).
void group_norm(In x, In weight, In bias, std::int64_t batch, std::int64_t pixels, std::int64_t channels, std::int64_t groups,
                float eps, Function f, Out out);

// out[b, y, x, o] = f(Σ in[b, y·stride + i - top, x·stride + j - left, c] · w[o, c, i, j] + bias[o] +
// residual[b, y, x, o]), with zeros outside the picture: the cross-correlation that frameworks call
// convolution.
struct Conv2d {
    std::int64_t batch, height, width, channels_in;
    std::int64_t channels_out, kernel_height, kernel_width, stride;
    std::array<std::int64_t, 4> padding;  // top, left, bottom, right
    In x;                                 // [B, H, W, Cin]
    const float* weight;                  // [Cout, Cin, KH, KW]
    In bias;                              // [Cout]
    Function function;
    In residual;  // as out
    Out out;      // [B, Ho, Wo, Cout]
};
void conv2d(const Conv2d& a);

// Each pixel four times.  x [B, H, W, C] → out [B, 2H, 2W, C]
void upsample2x(In x, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels, Out out);

void unary(Function f, In x, std::int64_t count, Out out);

// out[m, f] = gelu_tanh(x[m, f]) · x[m, F + f]  (GEGLU: Shazeer 2020, arXiv:2002.05202; T5 v1.1).
void gated_gelu(In x, std::int64_t m, std::int64_t f, Out out);

// out[i] = Σ_t coefficients[t] · x[t][i]
void lincomb(const double* coefficients, const In* x, std::int64_t terms, std::int64_t count, Out out);

// out[n, :] = table[ids[n], :]
void gather(In table, const std::int32_t* ids, std::int64_t n, std::int64_t c, Out out);

// latents [B, C, H, W] → out [B·(H/p)·(W/p), C·p·p], column c·p² + y·p + x.
void patchify(In latents, std::int64_t b, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t p, Out out);

// tokens [B·(H/p)·(W/p), p·p·Cx], column (y·p + x)·Cx + c → out [B, C, H, W], channels 0 … C - 1 of Cx.
void unpatchify(In tokens, std::int64_t cx, std::int64_t b, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t p,
                Out out);

// out[n, k] = cos(t_n f_k), out[n, C/2 + k] = sin(t_n f_k), f_k = exp(-ln(10⁴)·k / (C/2 - shift)), with f_k
// and t·f_k rounded to f32 as the reference implementations do (DiT's timestep_embedding; diffusers'
// get_timestep_embedding with flip_sin_to_cos).
void timestep_embed(const float* timesteps, std::int64_t n, std::int64_t c, float shift, Out out);

// stream[m, c] += gate[m / (M / Gg), c] · y[m, c], rounded to f32; then out = norm_modulate(stream) with G rows of shift and
// scale, or, where shift is absent, stream.
struct ResidualNorm {
    std::int64_t m, c;
    In y;                    // [M, C]
    In gate;                 // [Gg, C]
    std::int64_t gate_rows;  // Gg
    float* stream;           // [M, C]
    In shift, scale;         // [G, C]
    std::int64_t groups;     // G
    float eps;
    Out out;  // [M, C]
};
void residual_norm(const ResidualNorm& a);

// Bytes of a picture from numbers in [-1, 1]: round(clamp(x / 2 + ½, 0, 1) · 255) with f32 steps and ties to even, as
// diffusers' VaeImageProcessor computes it in numpy; a NaN becomes 0.
void to_rgb8(const float* x, std::int64_t count, std::uint8_t* out);

void cast(In x, std::int64_t count, Out out);
void to_channels_last(In x, std::int64_t b, std::int64_t c, std::int64_t pixels,
                      Out out);  // [B, C, P] → [B, P, C]
void to_channels_first(In x, std::int64_t b, std::int64_t c, std::int64_t pixels,
                       Out out);  // [B, P, C] → [B, C, P]

}  // namespace t2i::ref
