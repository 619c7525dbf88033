// The noise levels that the solvers of the DPM-Solver family share (diffusers: DPMSolverMultistep, DPMSolverSinglestep,
// DEISMultistep, UniPCMultistep and SASolver: set_timesteps, _sigma_to_alpha_sigma_t).
#pragma once

#include <cstdint>
#include <vector>

#include "sampling/sampler.h"

namespace t2i {

// x = α·x0 + σ·ε with half log-SNR λ = ln α − ln σ, in float32 as diffusers.
struct NoiseLevel {
    float alpha, sigma, lambda;
};
[[nodiscard]] NoiseLevel noise_level(float sigma, bool is_flow);

// What the classes do differently.
struct SolverGridRules {
    bool rounds_on_cosine = true;   // timesteps of the karras schedule, on squaredcos_cap_v2 betas too
    bool has_spacing = true;        // else timesteps are always linspace
    bool has_clipping = true;       // lambda_min_clipped
    bool ends_in_last = false;      // the level after the last: its own again where the levels have a schedule
    bool ends_as_asked = true;      // the level after the last: final_sigmas_type, else the schedule's least
    bool counts_flow_down = false;  // flow levels as UniPC lays them out, a hair below 1
};

struct SolverGrid {
    std::vector<double> timesteps;   // whole numbers
    std::vector<NoiseLevel> levels;  // one more than timesteps
    // A step at the level i.
    [[nodiscard]] SamplerStep step(std::size_t i) const {
        return {.timestep = timesteps[i], .begins_at = {.signal = levels[i].alpha, .noise = levels[i].sigma}};
    }
    // A solver of second order takes a slope between neighbours: rounding can repeat a level when steps nears train_steps.
    [[nodiscard]] bool is_repeated(std::size_t i) const { return levels[i].lambda == levels[i + 1].lambda; }
};
// Throws Error{invalid_argument} as check_steps.
[[nodiscard]] SolverGrid solver_grid(const ScheduleConfig& config, int steps, const SolverGridRules& rules);

}  // namespace t2i
