// 3x3 convolutions of stride 1, multiplied in f32, with GroupNorm and doubling of their input (kernels/cpu/winograd.cpp).
#pragma once

#include <memory>

#include "backend/cpu/parallel.h"
#include "ops/backend.h"

namespace t2i::cpu {

class Winograd {
  public:
    explicit Winograd(Workers& workers) : workers_(workers) {}

    // Whether a filter [Cout, Cin, KH, KW] is better packed here than as a product.
    [[nodiscard]] static bool suits(const Shape& filter, DType compute, const Conv2dUse& use);
    [[nodiscard]] std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute, const Conv2dUse& use) const;
    // Whether `a` has a filter that was packed here.
    [[nodiscard]] static bool takes(const Conv2dArgs& a);
    void run(const Conv2dArgs& a);

  private:
    struct Filter;
    Workers& workers_;
};

}  // namespace t2i::cpu
