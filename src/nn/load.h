// What layers share when they take their weights from a checkpoint.
#pragma once

#include "checkpoint/weights.h"
#include "ops/memory.h"
#include "ops/ops.h"

namespace t2i {

// Where weights go, and the dtype of the activations that meet them in matrix products and convolutions.
struct LoadContext {
    Backend& backend;
    DType compute;
};

// The bias of a product or convolution: f32 in the backend's memory, rounded to the compute dtype as the weights are, so
// that libraries which read a bias in that dtype read the same numbers.
[[nodiscard]] Tensor upload_bias(const LoadContext& load, const TensorView& host);
// A norm's parameters or a small table: f32 in the backend's memory.
[[nodiscard]] Tensor load_f32(const LoadContext& load, const Scope& scope, const std::string& name, const Shape& shape);

// x itself where it has `dtype` already, else a cast copy in scratch memory.
[[nodiscard]] TensorView as_dtype(const ExecContext& ctx, const TensorView& x, DType dtype);
// out = scale · x + shift.  x and out f32 of one shape; out may be x
void affine(const ExecContext& ctx, const TensorView& x, double scale, double shift, const TensorView& out);

}  // namespace t2i
