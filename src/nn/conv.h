// Convolution over channels-last pictures.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "nn/linear.h"

namespace t2i {

struct Conv2dConfig {
    std::int64_t in, out;
    std::int64_t kernel = 3;
    std::int64_t stride = 1;
    std::array<std::int64_t, 4> padding{1, 1, 1, 1};  // top, left, bottom, right
    Bias bias = Bias::yes;
    bool upsample = false;  // nearest neighbour, to twice the height and width, before it
};

// What goes along with the convolution, as in Conv2dArgs.
struct ConvExtras {
    Activation activation = Activation::none;
    std::optional<TensorView> residual{};
    std::optional<InputNorm> norm{};
};

class Conv2d {
  public:
    // scope/weight [out, in, kernel, kernel], scope/bias [out]
    Conv2d(const LoadContext& load, const Scope& scope, const Conv2dConfig& config);

    [[nodiscard]] Shape output_shape(const Shape& x) const;  // [B, H, W, in] → [B, H', W', out]
    // Both in the compute dtype.
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const ConvExtras& extras = {}) const;

  private:
    std::unique_ptr<PackedWeight> weight_;
    Tensor bias_;  // empty: none
    Conv2dUse use_;
    std::array<std::int64_t, 4> padding_;
};

}  // namespace t2i
