// The blocks of convolutional autoencoders, on channels-last pictures in the compute dtype.
#pragma once

#include <array>
#include <optional>

#include "nn/conv.h"
#include "nn/linear.h"
#include "nn/norm.h"

namespace t2i {

// out = shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))))))  (diffusers, ResnetBlock2D without time
// embedding)
class ResnetBlock {
  public:
    ResnetBlock(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t groups);
    [[nodiscard]] Shape output_shape(const Shape& x) const { return conv1_.output_shape(x); }
    // x [B, H, W, in] → out [B, H, W, out]
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const;

  private:
    GroupNorm norm1_;
    Conv2d conv1_;
    GroupNorm norm2_;
    Conv2d conv2_;
    std::optional<Conv2d> shortcut_;
};

// out = x + to_out(attention over all pixels of norm(x)), one head  (diffusers, Attention from a deprecated
// block)
class PixelAttention {
  public:
    PixelAttention(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t groups);
    // x and out [B, H, W, channels]
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const;

  private:
    GroupNorm norm_;
    Linear qkv_, to_out_;
    std::int64_t channels_;
};

// Two buffers that layers write in turn, each as large as the largest picture between layers.
class PicturePair {
  public:
    PicturePair(const ExecContext& ctx, DType dtype, std::int64_t max_elements);
    [[nodiscard]] const TensorView& current() const { return current_; }
    // The buffer that does not hold the current picture, as a picture of this shape.
    [[nodiscard]] TensorView next(const Shape& shape) const;
    void advance(const TensorView& written) { current_ = written; }

    template <typename Layer>
    void apply(const ExecContext& ctx, const Layer& layer, const Shape& shape) {
        const TensorView out = next(shape);
        layer.forward(ctx, current_, out);
        advance(out);
    }

  private:
    std::array<TensorView, 2> slots_;
    TensorView current_;
};

}  // namespace t2i
