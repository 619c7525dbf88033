// Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 without churn);
// diffusers: EulerDiscreteScheduler.step.
#include "sampling/euler_grid.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

class Euler final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "euler", {.sigma_schedules = true});
        const EulerGrid grid = euler_grid(config, steps);
        SamplerPlan plan{.initial_scale = grid.initial_scale, .steps = {}};
        for (std::size_t i = 0; i < grid.timesteps.size(); ++i) {
            const double sigma = grid.sigmas[i], kept = static_cast<double>(grid.sigmas[i + 1]) / sigma;
            SamplerStep s = euler_step(config, grid.timesteps[i], sigma);
            // x' = x + (x − x0)/σ · (σ' − σ)
            s.from_x = kept;
            s.from_x0 = {1.0 - kept};
            plan.steps.push_back(std::move(s));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }
};

}  // namespace

std::unique_ptr<Sampler> make_euler() {
    return std::make_unique<Euler>();
}

}  // namespace t2i
