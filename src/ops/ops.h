// How everything above the backends calls an operation: the same names and arguments as Backend's methods
// (ops/backend.h documents each formula), with shapes and dtypes checked here, once. A broken promise throws
// std::logic_error that names the operation and the shapes.
//
// Matrices [M, C] may come with any rank: all dimensions but the last are rows ([B, T, C] is [B·T, C]).
#pragma once

#include "ops/exec_context.h"

namespace t2i::ops {

void linear(const ExecContext& ctx, const LinearArgs& a);
void attention(const ExecContext& ctx, const AttentionArgs& a);
void norm_modulate(const ExecContext& ctx, const NormModulateArgs& a);
void rms_norm(const ExecContext& ctx, const TensorView& x, const TensorView& weight, float eps, const TensorView& out);
void group_norm(const ExecContext& ctx, const GroupNormArgs& a);
void conv2d(const ExecContext& ctx, const Conv2dArgs& a);
void upsample2x(const ExecContext& ctx, const TensorView& x, const TensorView& out);
void unary(const ExecContext& ctx, Unary f, const TensorView& x, const TensorView& out);
void gated_gelu(const ExecContext& ctx, const TensorView& x, const TensorView& out);
void lincomb(const ExecContext& ctx, std::span<const LincombTerm> terms, const TensorView& out);
void gather(const ExecContext& ctx, const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out);
void patchify(const ExecContext& ctx, const TensorView& latents, std::int64_t patch, const TensorView& out);
void unpatchify(const ExecContext& ctx, const TensorView& tokens, std::int64_t patch, const TensorView& out);
void timestep_embed(const ExecContext& ctx, std::span<const float> timesteps, float shift, const TensorView& out);
void cast(const ExecContext& ctx, const TensorView& x, const TensorView& out);
void residual_norm(const ExecContext& ctx, const ResidualNormArgs& a);
void sampler_update(const ExecContext& ctx, const SamplerUpdateArgs& a);
void limit(const ExecContext& ctx, const LimitArgs& a);
void to_rgb8(const ExecContext& ctx, const TensorView& x, const TensorView& out);
void to_channels_last(const ExecContext& ctx, const TensorView& x, const TensorView& out);
void to_channels_first(const ExecContext& ctx, const TensorView& x, const TensorView& out);

// Packing, checked in the same way: `weight` is host memory of a type that holds reals, of rank 2, or of rank 4 and no block
// type.
[[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(Backend& backend, const TensorView& weight, DType compute);
[[nodiscard]] std::unique_ptr<PackedWeight> pack_stacked(Backend& backend, std::span<const TensorView> weights, DType compute);
[[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(Backend& backend, const TensorView& weight, DType compute,
                                                        const Conv2dUse& use = {});

}  // namespace t2i::ops
