// linear and conv2d of the CPU backend: both multiply windows of an input with packed weights.
#pragma once

#include <memory>

#include "backend/cpu/parallel.h"
#include "kernels/cpu/matmul.h"
#include "ops/backend.h"

namespace t2i::cpu {

// The rows that a product or a convolution multiplies.
[[nodiscard]] Windows windows_of(const TensorView& x);  // [M, K]
[[nodiscard]] Windows windows_of(const Conv2dArgs& a);

class Matmuls {
  public:
    Matmuls(Workers& workers, Bf16Kernel bf16) : workers_(workers), bf16_(bf16) {}

    [[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute);
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute);
    // out = epilogue(windows · weightᵀ)
    void multiply(const Windows& windows, const PackedWeight& weight, const Epilogue& epilogue);

  private:
    struct F32Weight;
    struct Bf16Weight;
    std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute, std::int64_t n, std::int64_t k);
    void multiply_f32(const Windows& windows, const F32Weight& weight, const Epilogue& epilogue);
    void multiply_bf16(const Windows& windows, const Bf16Weight& weight, const Epilogue& epilogue);

    Workers& workers_;
    Bf16Kernel bf16_;
    Buffer zeros_;  // what windows see outside the picture: one pixel's channels
};

}  // namespace t2i::cpu
