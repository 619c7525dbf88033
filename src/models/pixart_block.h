// One block of PixArt: self-attention, cross-attention to the text, MLP.
#pragma once

#include "models/transformer_parts.h"

namespace t2i {

struct PixArtBlockConfig {
    BlockSizes sizes;
    std::int64_t context_width;  // cross_attention_dim
    float eps;                   // of the norms before attention and MLP
};

class PixArtBlock {
  public:
    PixArtBlock(const LoadContext& load, const Scope& scope, const PixArtBlockConfig& config);

    [[nodiscard]] const CrossAttention& cross_attention() const { return cross_; }
    [[nodiscard]] const Tensor& table() const { return table_; }  // [6, width], added to the timestep's projection

    // A block's text: keys and values [B·L, 2·width] in the compute dtype, lengths [B] i32.
    struct Text {
        TensorView keys_values, lengths;
    };
    // The norm that a block's first layer reads through.
    [[nodiscard]] ModulatedNorm first_norm(const Modulation& modulation) const;

    // x [B·T, width] f32, in place:
    //     x += gate ⊙ attention(LN(x)(1 + scale) + shift)
    //     x += cross_attention(x)                              neither norm nor gate
    //     x += gate ⊙ mlp(LN(x)(1 + scale) + shift)
    // normed [B·T, width] in the compute dtype holds first_norm(x) before, and next(x) after: each sum and the norm that
    // follows it are one pass over x.
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& normed, const Modulation& modulation,
                 const Text& text, const ModulatedNorm& next) const;

  private:
    Tensor table_;
    SelfAttention self_;
    CrossAttention cross_;
    Mlp mlp_;
    float eps_;
    DType compute_;
};

}  // namespace t2i
