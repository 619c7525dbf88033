// The noise levels that Heun, Euler and Euler ancestral share (diffusers: HeunDiscreteScheduler, Euler*DiscreteScheduler:
// set_timesteps). All work on x = x0 + σ·ε and show the model x / √(σ² + 1).
#pragma once

#include <vector>

#include "sampling/sampler.h"

namespace t2i {

struct EulerGrid {
    std::vector<double> timesteps;
    std::vector<float> sigmas;  // one more than timesteps, ending in the final σ
    double initial_scale = 1.0;
};
[[nodiscard]] EulerGrid euler_grid(const ScheduleConfig& config, int steps);

// A step with the input scale and the data prediction filled in.
[[nodiscard]] SamplerStep euler_step(const ScheduleConfig& config, double timestep, double sigma);

}  // namespace t2i
