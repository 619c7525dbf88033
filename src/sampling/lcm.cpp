// Latent consistency models: every step jumps to x0 and noises it for the next timestep (Luo et al. 2023, arXiv 2310.04378,
// algorithm 3); diffusers: LCMScheduler.
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// Evenly among the timesteps of the distillation, the largest first.
std::vector<int> lcm_timesteps(const ScheduleConfig& config, int steps) {
    check_steps(config, steps);
    const int original = config.original_steps;
    if (original > config.train_steps)
        throw Error(ErrorCode::invalid_argument, "\"original_inference_steps\" is larger than the schedule", Field{"sampler"});
    if (steps > original)
        throw Error(ErrorCode::invalid_argument, "lcm allows at most " + std::to_string(original) + " steps", Field{"steps"});
    const int ratio = config.train_steps / original;
    std::vector<int> timesteps;
    for (int i = 0; i < steps; ++i) {
        const auto index = static_cast<int>(std::floor(i * (static_cast<double>(original) / steps)));
        timesteps.push_back((original - index) * ratio - 1);
    }
    return timesteps;
}

class Lcm final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "lcm", {});
        const auto alphas = alphas_cumprod(config);
        const std::vector<int> timesteps = lcm_timesteps(config, steps);
        SamplerPlan plan;
        for (std::size_t i = 0; i < timesteps.size(); ++i) {
            const float alpha = alphas[static_cast<std::size_t>(timesteps[i])];
            SamplerStep s{.timestep = static_cast<double>(timesteps[i]), .begins_at = noise_mix(alpha)};
            keep_data(s, config, std::sqrt(alpha), std::sqrt(1.0F - alpha));
            // The boundary condition of a consistency function: at t = 0 it is x itself.
            constexpr float variance = 0.25F;  // σ_data²
            const float scaled = static_cast<float>(timesteps[i]) * static_cast<float>(config.timestep_scaling);
            const double skip = variance / (scaled * scaled + variance), out = scaled / std::sqrt(scaled * scaled + variance);
            const bool is_last = i + 1 == timesteps.size();
            const float next = is_last ? 1.0F : alphas[static_cast<std::size_t>(timesteps[i + 1])];
            s.from_x = std::sqrt(next) * skip;
            s.from_x0 = {std::sqrt(next) * out};
            s.draws_noise = !is_last;
            s.from_noise = std::sqrt(1.0F - next);
            plan.steps.push_back(std::move(s));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }
};

}  // namespace

std::unique_ptr<Sampler> make_lcm() {
    return std::make_unique<Lcm>();
}

}  // namespace t2i
