// GroupNorm of the CPU backend.
#pragma once

#include <vector>

#include "backend/cpu/parallel.h"
#include "ops/backend.h"

namespace t2i::cpu {

// What GroupNorm does to a picture, channel by channel: (x - mean[b, c]) · gain[b, c] + bias[c].
struct GroupScales {
    std::vector<float> mean, gain;  // [B, C]
};

// Of x [B, H, W, C]; in the moments of a picture nothing depends on the other pictures or on the threads.
[[nodiscard]] GroupScales group_scales(Workers& workers, const TensorView& x, const InputNorm& norm);
void group_norm(Workers& workers, const GroupNormArgs& a);

}  // namespace t2i::cpu
