// What diffusers' transformers over patches of latents share: the common part of their configs, adaptive layer norm,
// the residual stream between a block's layers, the embedding of a number such as the timestep.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "models/config.h"
#include "nn/attention.h"
#include "nn/mlp.h"

namespace t2i {

struct BlockSizes {
    std::int64_t width, heads, head_size;
    Bias attention_bias;
};

struct PatchTransformerConfig {
    BlockSizes block;
    std::int64_t layers, channels, out_channels, sample_size, patch;
};
// Defaults in which their classes differ.
struct PatchTransformerDefaults {
    std::int64_t sample_size;
    std::int64_t out_channels;  // of a config without the key; 0: as many as go in, which null says of both
};
// What PixArtTransformer2DModel and DiTTransformer2DModel name alike. Throws Error{input} naming the key.
[[nodiscard]] PatchTransformerConfig read_patch_transformer_config(const ModelConfig& c,
                                                                   const PatchTransformerDefaults& defaults);

// What modulates a block: six tensors [G, width] f32; row m of M reads row m / (M / G).
struct Modulation {
    // In the order of checkpoints (adaLN-Zero: DiT, section 3.2; adaLN-single: PixArt-α, section 2.3).
    enum Row : std::int64_t { shift_attention, scale_attention, gate_attention, shift_mlp, scale_mlp, gate_mlp, rows };
    std::array<TensorView, rows> tensors;
    [[nodiscard]] const TensorView& operator[](Row row) const { return tensors[static_cast<std::size_t>(row)]; }
    // table [6, width]: one set for all rows.
    [[nodiscard]] static Modulation of(const TensorView& table);
};

// The norm in front of a layer: LN(x; eps, no affine) ⊙ (1 + scale) + shift; shift and scale [G, width] f32.
struct ModulatedNorm {
    TensorView shift, scale;
    float eps;
    // x [M, width] f32 → out [M, width] f32 or the compute dtype
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const;
};
[[nodiscard]] ModulatedNorm attention_norm(const Modulation& m, float eps);
[[nodiscard]] ModulatedNorm mlp_norm(const Modulation& m, float eps);

// Adds what a layer made to the residual stream and prepares what the next layer reads, in one pass over the stream.
struct ResidualStream {
    TensorView y;       // [M, width] in the compute dtype: what the layer made
    TensorView stream;  // [M, width] f32, in place
    TensorView normed;  // [M, width] in the compute dtype: what the next layer reads
    // stream += gate ⊙ y; normed = norm(stream), or stream itself without a norm. gate [G, width] f32
    void add(const ExecContext& ctx, const std::optional<TensorView>& gate, const std::optional<ModulatedNorm>& norm) const;
};

// diffusers' names of an attention's projections, and its scale 1/√head_size.
[[nodiscard]] const AttentionNames& diffusers_attention_names();
[[nodiscard]] AttentionConfig attention_config(const BlockSizes& sizes);
// diffusers' FeedForward with "gelu-approximate": scope/net.0.proj and scope/net.2, four times as wide between them.
[[nodiscard]] Mlp feed_forward(const LoadContext& load, const Scope& scope, std::int64_t width);

// Numbers as vectors: linear_2(silu(linear_1(sinusoid))) (diffusers, Timesteps and TimestepEmbedding).
class SinusoidMlp {
  public:
    // shift: diffusers' downscale_freq_shift, see Backend::timestep_embed
    SinusoidMlp(const LoadContext& load, const Scope& scope, std::int64_t width, float shift);
    // → out [values, width] f32; the epilogue is the second layer's
    void forward(const ExecContext& ctx, std::span<const float> values, const TensorView& out,
                 const Linear::Epilogue& epilogue = {}) const;

    static constexpr std::int64_t sinusoid_width = 256;

  private:
    Mlp mlp_;
    float shift_;
    DType compute_;
};

}  // namespace t2i
