// Every operation of Backend in kernels of our own, for a GPU and for its emulation alike. What is left to a backend is
// memory, products and convolutions.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "ops/backend.h"

namespace t2i::cuda {

// out = activation(x·Wᵀ + bias): what a library does in one call.
struct MatmulArgs {
    TensorView x;                              // [M, K], dtype = weight->compute
    const PackedWeight* weight = nullptr;      // [N, K]
    const float* bias = nullptr;               // [N] on the device, or null
    Activation activation = Activation::none;  // none, relu or gelu_tanh
    TensorView out;                            // [M, N] f32 or weight->compute
};

// out = activation(conv(x) + bias), channels last.
struct ConvolutionArgs {
    TensorView x;                          // [B, H, W, Cin], dtype = weight->compute
    const PackedWeight* weight = nullptr;  // [Cout, Cin, KH, KW]
    const float* bias = nullptr;           // [Cout] on the device, or null
    std::int64_t stride = 1;
    std::array<std::int64_t, 4> padding{};     // top, left, bottom, right
    Activation activation = Activation::none;  // none or relu
    TensorView out;                            // [B, H', W', Cout]: dtype of x, or f32 sums that a residual is added to
};

// Operations are queued on stream() and done in order.
//
// Scratch asked of workspace(), in bytes; a recording must find as much already there:
//   linear      4·M·N, where a gate, a residual or SiLU cannot be applied in `out` itself: `out` is bf16, or the residual is it
//   conv2d      4·(elements of out), where a residual is added and out is bf16 or the residual; at most
//               conv2d_scratch_bytes: more pictures go in parts
//   group_norm  group_norm_scratch_bytes (kernels/cuda/cuda_kernels.h), a few hundred KB
class DeviceOps : public Backend {
  public:
    static constexpr std::int64_t conv2d_scratch_bytes = std::int64_t{256} << 20;

    [[nodiscard]] bool supports(Op op, DType dtype) const override;  // f32 and bf16
    void linear(const LinearArgs& a) override;
    void attention(const AttentionArgs& a) override;
    void norm_modulate(const NormModulateArgs& a) override;
    void rms_norm(const TensorView& x, const TensorView& weight, float eps, const TensorView& out) override;
    void group_norm(const GroupNormArgs& a) override;
    void conv2d(const Conv2dArgs& a) override;
    void upsample2x(const TensorView& x, const TensorView& out) override;
    void unary(Unary f, const TensorView& x, const TensorView& out) override;
    void gated_gelu(const TensorView& x, const TensorView& out) override;
    void lincomb(std::span<const LincombTerm> terms, const TensorView& out) override;
    void gather(const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) override;
    void patchify(const TensorView& latents, std::int64_t patch, const TensorView& out) override;
    void unpatchify(const TensorView& tokens, std::int64_t patch, const TensorView& out) override;
    void timestep_embed(std::span<const float> timesteps, float shift, const TensorView& out) override;
    void cast(const TensorView& x, const TensorView& out) override;
    void residual_norm(const ResidualNormArgs& a) override;
    void sampler_update(const SamplerUpdateArgs& a) override;
    void limit(const LimitArgs& a) override;
    void to_rgb8(const TensorView& x, const TensorView& out) override;
    void to_channels_last(const TensorView& x, const TensorView& out) override;
    void to_channels_first(const TensorView& x, const TensorView& out) override;

  protected:
    [[nodiscard]] virtual cudaStream_t stream() const = 0;
    // Neither of these may call workspace(): `out` may lie in it.
    virtual void multiply(const MatmulArgs& a) = 0;
    virtual void convolve(const ConvolutionArgs& a) = 0;
    // Device memory aligned to 256 bytes, valid until the next call. Its address is kept by recordings: it grows outside of
    // them only.
    [[nodiscard]] virtual void* workspace(std::size_t bytes) = 0;
    // Whether attention in bf16 may round its weights (cuda_kernels.h, Attention): quicker, further off than f32 sums explain.
    [[nodiscard]] virtual bool rounds_weights() const { return false; }
    // out = activation(sums + bias).  sums [rows, C] f32, bias [C] on the device or null, out [rows, C] f32 or bf16, may be sums
    void finish_convolution(const TensorView& sums, const float* bias, Activation activation, const TensorView& out);
};

}  // namespace t2i::cuda
