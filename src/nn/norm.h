// Normalisations with weights of their own.
#pragma once

#include "nn/load.h"

namespace t2i {

class RmsNorm {
  public:
    // scope/weight [width]
    RmsNorm(const LoadContext& load, const Scope& scope, std::int64_t width, float eps);
    // x [M, width] f32 → out [M, width] f32 or bf16
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const;

  private:
    Tensor weight_;
    float eps_;
};

class GroupNorm {
  public:
    // scope/weight and scope/bias [channels]
    GroupNorm(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t groups, float eps);
    // x [B, H, W, channels] → out, the same shape and dtype; out may be x
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, Activation activation) const;
    // For a convolution that applies it to its input.
    [[nodiscard]] InputNorm before_conv(Activation activation) const { return {weight_, bias_, groups_, eps_, activation}; }

  private:
    Tensor weight_, bias_;
    std::int64_t groups_;
    float eps_;
};

}  // namespace t2i
