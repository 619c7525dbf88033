// y = x·Wᵀ + b with what may follow it in the same pass.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nn/load.h"

namespace t2i {

enum class Bias : bool { no, yes };

// What follows the product, as in LinearArgs.
struct LinearEpilogue {
    Activation activation = Activation::none;
    std::optional<TensorView> gate{};
    std::optional<TensorView> residual{};
};

class Linear {
  public:
    // scope/weight [out, in], scope/bias [out]
    Linear(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, Bias bias = Bias::yes);
    // Several layers of one input as a single product; the result's columns follow the order of `scopes`.
    Linear(const LoadContext& load, std::span<const Scope> scopes, std::int64_t in, std::int64_t out_each, Bias bias);
    // A convolution whose kernel equals its stride, seen as a product over patches: scope/weight [out,
    // channels, p, p]
    static Linear patches(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t patch,
                          std::int64_t out);

    // One layer as `count` layers of the same input, in the order of its output features, so that each part's result is
    // contiguous: scope/weight [count·out_each, in], scope/bias [count·out_each]
    static std::vector<Linear> parts(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out_each,
                                     std::int64_t count);

    using Epilogue = LinearEpilogue;
    // x [M, in] in the compute dtype → out [M, out] f32 or the compute dtype
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Epilogue& epilogue = {}) const;
    [[nodiscard]] DType compute() const { return weight_->compute; }
    [[nodiscard]] std::int64_t out_features() const { return weight_->shape[0]; }

  private:
    Linear(const LoadContext& load, const TensorView& weight, Tensor bias);
    std::unique_ptr<PackedWeight> weight_;
    Tensor bias_;  // empty: none
};

}  // namespace t2i
