// attention of the CPU backend.
#pragma once

#include "backend/cpu/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "ops/backend.h"

namespace t2i::cpu {

class Attention {
  public:
    Attention(Workers& workers, Bf16Kernel bf16) : workers_(workers), bf16_(bf16) {}
    void run(const AttentionArgs& a);

  private:
    void run_f32(const AttentionArgs& a);   // any types, multiplied in f32
    void run_bf16(const AttentionArgs& a);  // q, k and v in bf16
    std::byte* panels(std::size_t bytes);

    Workers& workers_;
    Bf16Kernel bf16_;
    Buffer panels_;  // keys and values of every head, packed; grows to the largest call
};

}  // namespace t2i::cpu
