// attention of the CPU backend.
#pragma once

#include "backend/cpu/parallel.h"
#include "ops/backend.h"

namespace t2i::cpu {

class Attention {
  public:
    explicit Attention(Workers& workers) : workers_(workers) {}
    void run(const AttentionArgs& a);

  private:
    Workers& workers_;
    Buffer panels_;  // keys and values of every head, packed; grows to the largest call
};

}  // namespace t2i::cpu
