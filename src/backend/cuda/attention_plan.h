// Attention as a graph of cuDNN's, and the plan that executes it.
#pragma once

#include "backend/cuda/cudnn_graph.h"

namespace t2i::cuda {

// out = softmax(scale · q kᵀ) v per head, heads side by side in a row; q, k, v and out in bf16, sums in f32. cuDNN rounds the
// weights of the values to bf16, as our kernel does with Attention::rounded_weights (kernels/cuda/cuda_kernels.h).
struct AttentionShape {
    std::int64_t batch = 1, heads = 1, queries = 1, keys = 1, head_size = 1;
    std::int64_t q_stride = 1, k_stride = 1, v_stride = 1;  // elements from row to row
    [[nodiscard]] std::string text() const;
    bool operator==(const AttentionShape&) const = default;
    auto operator<=>(const AttentionShape&) const = default;
};

class AttentionPlan {
  public:
    // The first plan of cuDNN's heuristics that is deterministic and needs at most `workspace_limit` bytes. None: nullopt, and
    // `why` says what cuDNN had.
    static std::optional<AttentionPlan> find(const Cudnn& dnn, const PlanTarget& target, const AttentionShape& shape,
                                             std::size_t workspace_limit, std::string& why);

    [[nodiscard]] std::size_t workspace_bytes() const { return plan_.workspace_bytes(); }
    // Memory of the GPU aligned to 16 bytes.
    struct Operands {
        const void *q = nullptr, *k = nullptr, *v = nullptr;
        float scale = 1;
        void* out = nullptr;
        void* logarithms = nullptr;  // [batch, heads, queries] f32, written: of a row's sum of exponentials
    };
    void execute(cudnnHandle_t handle, const Operands& o, void* workspace) const;

  private:
    explicit AttentionPlan(GraphPlan plan) : plan_(std::move(plan)) {}
    GraphPlan plan_;
};

}  // namespace t2i::cuda
