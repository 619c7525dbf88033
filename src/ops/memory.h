// Tensors in a backend's memory.
#pragma once

#include "ops/backend.h"

namespace t2i {

[[nodiscard]] Tensor allocate(Backend& backend, const Shape& shape, DType dtype = DType::f32);
// Memory of the host that the backend copies from and to quickly.
[[nodiscard]] Tensor allocate_staging(Backend& backend, const Shape& shape, DType dtype = DType::f32);
// A copy of host memory in the backend's memory.
[[nodiscard]] Tensor upload(Backend& backend, const TensorView& host);

}  // namespace t2i
