// One step of DPM-Solver and DPM-Solver++ as weights of what the solver keeps (x0 or ε), for its multistep and its single-step
// form (Lu et al. 2022, arXiv 2206.00927 and 2211.01095); diffusers: dpm_solver_first_order_update and its neighbours.
#pragma once

#include "sampling/solver_grid.h"

namespace t2i {

// x' = from_x·x + first·D0 + (midpoint or heun)·D1 + third·D2 + noise·fresh noise, with D_k the divided differences of what is
// kept.
struct DpmWeights {
    double from_x = 0.0, first = 0.0, midpoint = 0.0, heun = 0.0, third = 0.0, noise = 0.0;
};
// From one level to another, h = λ' − λ. algorithm: as ScheduleConfig::algorithm_type.
[[nodiscard]] DpmWeights dpm_weights(const std::string& algorithm, const NoiseLevel& to, const NoiseLevel& from);

[[nodiscard]] inline bool is_sde(const ScheduleConfig& config) {
    return config.algorithm_type.starts_with("sde-");
}
// DPM-Solver++ keeps x0, DPM-Solver ε. Throws Error{invalid_argument} where the config asks for what DPM-Solver has not.
void keep_for_dpm(SamplerStep& step, const ScheduleConfig& config, const NoiseLevel& level);
void check_dpm(const ScheduleConfig& config, const char* name);

}  // namespace t2i
