// One block of DiT: self-attention and MLP with adaLN-Zero, and what it is modulated by.
#pragma once

#include <vector>

#include "models/transformer_parts.h"

namespace t2i {

// norm1.emb: a timestep and a class as a vector of the model's width (diffusers, CombinedTimestepLabelEmbeddings).
class TimestepLabelEmbedder {
  public:
    // classes: without the unconditional one, which is the table's last row. shift: of the timestep's frequencies, see
    // Backend::timestep_embed
    TimestepLabelEmbedder(const LoadContext& load, const Scope& scope, std::int64_t width, std::int64_t classes, float shift);
    // R timesteps, B labels in [0, classes], R a multiple of B → out [R, width] f32: row r is that of timestep r and label
    // r mod B.
    void forward(const ExecContext& ctx, std::span<const float> timesteps, std::span<const std::int32_t> labels,
                 const TensorView& out) const;
    // Whether the embedders in two scopes hold the same numbers.
    [[nodiscard]] static bool same(const Scope& a, const Scope& b, std::int64_t width, std::int64_t classes);

  private:
    SinusoidMlp timestep_;
    Tensor table_;  // [classes + 1, width] in the checkpoint's dtype
};

struct DiTBlockConfig {
    BlockSizes sizes;
    float mlp_eps;  // of the norm before the MLP
};

class DiTBlock {
  public:
    // The embedder in `scope` is its own layer: copies of one are shared.
    DiTBlock(const LoadContext& load, const Scope& scope, const DiTBlockConfig& config);

    // activated [R, width] in the compute dtype: SiLU of the embedder's rows → out: six tensors [R, width] f32
    void modulate(const ExecContext& ctx, const TensorView& activated, const Modulation& out) const;

    // The norm that a block's first layer reads through.
    [[nodiscard]] static ModulatedNorm first_norm(const Modulation& modulation);
    // x [B·T, width] f32, in place; modulation of [B, width] each, one row a picture:
    //     x += gate ⊙ attention(LN(x)(1 + scale) + shift)
    //     x += gate ⊙ mlp(LN(x)(1 + scale) + shift)
    // normed [B·T, width] in the compute dtype holds first_norm(x) before, and next(x) after.
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& normed, const Modulation& modulation,
                 const ModulatedNorm& next) const;

  private:
    std::vector<Linear> modulation_;  // six, in the order of Modulation's rows
    SelfAttention self_;
    Mlp mlp_;
    float mlp_eps_;
    DType compute_;
};

}  // namespace t2i
