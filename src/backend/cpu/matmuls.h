// linear and conv2d of the CPU backend: both multiply windows of an input with packed weights.
#pragma once

#include <array>
#include <memory>

#include "backend/cpu/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "ops/backend.h"

namespace t2i::cpu {

// The rows of the left matrix: row m is what the filter sees at output pixel m, tap by tap, channels
// innermost. A plain matrix [M, K] is a picture of M x 1 pixels under a 1 x 1 filter.
struct Windows {
    TensorView x;  // f32 or bf16
    std::int64_t height, width, channels;
    std::int64_t kernel_height = 1, kernel_width = 1, stride = 1;
    std::int64_t top = 0, left = 0;
    std::int64_t out_height, out_width;
    std::int64_t rows;  // B · out_height · out_width

    static Windows of_matrix(const TensorView& x);
    static Windows of_picture(const Conv2dArgs& a);
    [[nodiscard]] std::int64_t taps() const { return kernel_height * kernel_width; }
};

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
    struct Beside;
    std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute, std::int64_t n, std::int64_t k);
    void multiply_f32(const Windows& windows, const F32Weight& weight, const Epilogue& epilogue);
    void multiply_bf16(const Windows& windows, const Bf16Weight& weight, const Epilogue& epilogue);

    Workers& workers_;
    Bf16Kernel bf16_;
    Buffer zeros_;  // what windows see outside the picture: one pixel's channels
};

}  // namespace t2i::cpu
