// attention of the CPU backend: threads and memory for kernels/cpu/multi_head.h.
#pragma once

#include "backend/cpu/parallel.h"
#include "kernels/cpu/multi_head.h"
#include "ops/backend.h"

namespace t2i::cpu {

class Attention {
  public:
    Attention(Workers& workers, Bf16Kernel bf16) : workers_(workers), bf16_(bf16) {}
    void run(const AttentionArgs& a);

  private:
    template <typename Kind>  // AttentionF32 or AttentionBf16
    void run_parts(const Kind& attention);

    Workers& workers_;
    Bf16Kernel bf16_;
    Buffer panels_;  // keys and values of every head, packed; grows to the largest call
};

}  // namespace t2i::cpu
