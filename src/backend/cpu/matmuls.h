// linear and conv2d of the CPU backend: both multiply windows of an input with packed weights.
#pragma once

#include <memory>

#include "backend/cpu/parallel.h"
#include "backend/cpu/weight_memory.h"
#include "kernels/cpu/matmul.h"
#include "ops/backend.h"

namespace t2i::cpu {

// The rows that a product or a convolution multiplies.
[[nodiscard]] Windows windows_of(const TensorView& x);  // [M, K]
[[nodiscard]] Windows windows_of(const Conv2dArgs& a);

class Matmuls {
  public:
    Matmuls(Workers& workers, Bf16Kernel bf16) : workers_(workers), bf16_(bf16) {}

    // Matrices [N, K] as one whose rows are theirs under one another. Those of block types stay quantised where whole groups of
    // rows have one type: each product unpacks a few columns at a time, in cache.
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(std::span<const TensorView> weights, DType compute);
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute);
    void reuse_weight_memory(bool reuse) { memory_.reuse(reuse); }
    // out = epilogue(windows · weightᵀ)
    void multiply(const Windows& windows, const PackedWeight& weight, const Epilogue& epilogue);

  private:
    struct F32Weight;
    struct Bf16Weight;
    struct BlockWeight;
    class Rows;
    std::unique_ptr<PackedWeight> pack(const Rows& rows, DType compute);
    std::unique_ptr<PackedWeight> pack_f32(const Rows& rows);
    std::unique_ptr<PackedWeight> pack_bf16_panels(const Rows& rows);
    std::unique_ptr<PackedWeight> pack_blocks(const Rows& rows, DType compute);
    void multiply_f32(const Windows& windows, const F32Weight& weight, const Epilogue& epilogue);
    void multiply_bf16(const Windows& windows, const Bf16Weight& weight, const Epilogue& epilogue);
    void multiply_blocks(const Windows& windows, const BlockWeight& weight, const Epilogue& epilogue);

    Workers& workers_;
    Bf16Kernel bf16_;
    WeightMemory memory_;
    Buffer zeros_;  // what windows see outside the picture: one pixel's channels
};

}  // namespace t2i::cpu
