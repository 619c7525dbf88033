// One block of PixArt: self-attention, cross-attention to the text, MLP.
#pragma once

#include <span>

#include "nn/attention.h"
#include "nn/mlp.h"

namespace t2i {

struct PixArtBlockConfig {
    std::int64_t width, heads, head_size;
    std::int64_t context_width;  // cross_attention_dim
    float eps;                   // of the norms before attention and MLP
    Bias attention_bias;
};

class PixArtBlock {
  public:
    // Rows of the modulation table (adaLN-single; PixArt-α, section 2.3).
    enum Row : std::int64_t {
        shift_attention,
        scale_attention,
        gate_attention,
        shift_mlp,
        scale_mlp,
        gate_mlp,
        rows
    };

    PixArtBlock(const LoadContext& load, const Scope& scope, const PixArtBlockConfig& config);

    [[nodiscard]] const CrossAttention& cross_attention() const { return cross_; }
    [[nodiscard]] const Tensor& table() const {
        return table_;
    }  // [6, width], added to the timestep's projection

    // x [B·T, width] f32, in place:
    //     x += gate ⊙ attention(LN(x)(1 + scale) + shift)
    //     x += cross_attention(x)                              neither norm nor gate
    //     x += gate ⊙ mlp(LN(x)(1 + scale) + shift)
    // modulation [6, width]; keys_values [B·L, 2·width] in the compute dtype; lengths [B]: valid text tokens
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& modulation,
                 const TensorView& keys_values, std::span<const std::int32_t> lengths) const;

  private:
    Tensor table_;
    SelfAttention self_;
    CrossAttention cross_;
    Mlp mlp_;
    float eps_;
    DType compute_;
};

}  // namespace t2i
