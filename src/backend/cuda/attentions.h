// Attention by cuDNN where that is faster than our kernel, each shape decided once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "backend/cuda/attention_plan.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda_support/algorithm_cache.h"
#include "ops/backend.h"

namespace t2i::cuda {

// For fast_math alone: cuDNN rounds the weights of the values to bf16.
class Attentions {
  public:
    // Throws Error{resource} without cuDNN.
    explicit Attentions(std::shared_ptr<DeviceMemory> memory);

    // True: the attention is queued. False: it is for our kernel, `ours`, to do: another dtype, a bias or key lengths, memory
    // that is not aligned, a shape that cuDNN has no plan for or is slower at. The first attention of a shape times both,
    // which waits for the GPU: refused within a recording.
    [[nodiscard]] bool attend(const AttentionArgs& a, const std::function<void()>& ours);

  private:
    // A plan and its scratch, whose addresses recordings keep.
    struct Choice {
        AttentionPlan plan;
        DeviceBlock logarithms, workspace;
    };
    [[nodiscard]] std::optional<Choice> faster_choice(const AttentionShape& shape, const AttentionArgs& a,
                                                      const std::function<void()>& ours);
    void run(const Choice& choice, const AttentionArgs& a);

    std::shared_ptr<DeviceMemory> memory_;
    const Cudnn& dnn_;
    CudnnSession session_;
    AlgorithmCache cache_;
    std::map<AttentionShape, std::optional<Choice>> choices_;  // nothing: our kernel
};

}  // namespace t2i::cuda
