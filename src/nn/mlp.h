// Two layers with something between them.
#pragma once

#include "nn/linear.h"

namespace t2i {

// second(activation(first(x)))
class Mlp {
  public:
    struct Sizes {
        std::int64_t in, hidden, out;
    };
    Mlp(const LoadContext& load, const Scope& first, const Scope& second, const Sizes& sizes, Activation activation);
    // x [M, in] in the compute dtype → out [M, out]; the epilogue is the second layer's
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Linear::Epilogue& epilogue = {}) const;

  private:
    Linear first_, second_;
    Activation activation_;
};

// wo(gelu_tanh(wi_0 x) ⊙ wi_1 x), no biases (transformers' T5DenseGatedActDense).
class GatedGeluMlp {
  public:
    GatedGeluMlp(const LoadContext& load, const Scope& scope, std::int64_t width, std::int64_t hidden);
    // x [M, width] in the compute dtype; stream [M, width] f32 gets the result added
    void add_to(const ExecContext& ctx, const TensorView& x, const TensorView& stream) const;

  private:
    Linear wi_, wo_;
};

}  // namespace t2i
