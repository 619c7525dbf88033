// Matrix products by cuBLASLt, each shape by one algorithm chosen once.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda_support/algorithm_cache.h"
#include "ops/backend.h"

namespace t2i::cuda {

// out = activation(x · weightᵀ + bias), all row-major and contiguous, pointers aligned to 16 bytes.
struct Matmul {
    const void* x = nullptr;           // [m, k] bf16 or f32
    const void* weight = nullptr;      // [n, k], dtype of x
    const void* bias = nullptr;        // [n], dtype of out; or null
    void* out = nullptr;               // [m, n] f32, or dtype of x
    std::int64_t m = 0, n = 0, k = 0;  // n and k multiples of Matmuls::granule
    DType in = DType::f32, out_type = DType::f32;
    Activation activation = Activation::none;  // none, relu or gelu_tanh
};

class Matmuls {
  public:
    // Widths are whole multiples of this many elements, so that every row starts at a multiple of 16 bytes.
    static constexpr std::int64_t granule = 8;

    // Throws Error{resource} without cuBLASLt. `fast_math`: BackendOptions::fast_math.
    Matmuls(std::shared_ptr<DeviceMemory> memory, bool fast_math);

    // Queues the product. The first of its kind chooses the algorithm, which waits for the GPU: refused within a recording.
    //
    // Unless fast_math, a row's result depends on nothing but the row: the algorithm is one for all m, sums are not cut
    // (no split-K), and it was seen to give the same bytes for few rows as for many.
    // False, and nothing was queued: cuBLASLt has no such algorithm for this product.
    [[nodiscard]] bool multiply(const Matmul& p);

  private:
    struct Choice {
        cublasLtMatmulAlgo_t algorithm{};
        std::size_t workspace_bytes = 0;
        bool operator==(const Choice& other) const;
    };
    class Plan;
    [[nodiscard]] const std::optional<Choice>& choice_for(const Matmul& p);
    [[nodiscard]] std::optional<Choice> search(const Matmul& p);
    [[nodiscard]] std::vector<Choice> candidates(const Matmul& p, const std::vector<std::int64_t>& rows) const;
    [[nodiscard]] bool suits(const Choice& choice, const Matmul& p) const;
    void run(const Plan& plan, const Matmul& p, const Choice& choice) const;

    std::shared_ptr<DeviceMemory> memory_;
    const CublasLt& lt_;
    CublasLtSession session_;
    bool fast_math_;
    DeviceBlock workspace_;
    AlgorithmCache cache_;
    std::map<std::string, std::optional<Choice>> choices_;
};

}  // namespace t2i::cuda
