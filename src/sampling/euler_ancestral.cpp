// Euler ancestral: an Euler step to σ_down, then fresh noise of σ_up (k-diffusion, sample_euler_ancestral);
// diffusers: EulerAncestralDiscreteScheduler.step.
#include <algorithm>
#include <cmath>

#include "sampling/euler_grid.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

class EulerAncestral final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "euler_a", {});
        ScheduleConfig to_zero = config;
        to_zero.final_sigmas_type = "zero";  // the class has no other
        const EulerGrid grid = euler_grid(to_zero, steps);
        SamplerPlan plan{.initial_scale = grid.initial_scale, .steps = {}};
        for (std::size_t i = 0; i < grid.timesteps.size(); ++i) {
            const float from = grid.sigmas[i], to = grid.sigmas[i + 1];
            const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
            const float down = std::sqrt(std::max(to * to - up * up, 0.0F));
            const double kept = static_cast<double>(down) / static_cast<double>(from);
            SamplerStep s = euler_step(config, grid.timesteps[i], from);
            s.from_x = kept;
            s.from_x0 = {1.0 - kept};
            s.from_noise = up;
            s.draws_noise = true;
            plan.steps.push_back(std::move(s));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }
};

}  // namespace

std::unique_ptr<Sampler> make_euler_ancestral() {
    return std::make_unique<EulerAncestral>();
}

}  // namespace t2i
