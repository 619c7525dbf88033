// Heun's method on the probability-flow ODE: an Euler step, and the mean of the slopes at both its ends (Karras et al. 2022,
// algorithm 1 without churn); diffusers: HeunDiscreteScheduler. Two evaluations a step, one for the last.
#include "sampling/euler_grid.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

class Heun final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "heun", {.sigma_schedules = true});
        ScheduleConfig to_zero = config;
        to_zero.final_sigmas_type = "zero";  // the class has no other
        const EulerGrid grid = euler_grid(to_zero, steps);
        SamplerPlan plan{.initial_scale = grid.initial_scale, .steps = {}};
        for (std::size_t i = 0; i < grid.timesteps.size(); ++i) {
            const double from = grid.sigmas[i], to = grid.sigmas[i + 1], distance = to - from;
            SamplerStep begin = euler_step(config, grid.timesteps[i], from);
            begin.saves = true;
            begin.saved_from_x = 1.0;
            begin.from_x = to / from;
            begin.from_x0 = {1.0 - begin.from_x};
            plan.steps.push_back(std::move(begin));
            if (to == 0.0) break;
            // x' = saved + ((saved − x0_before)/σ + (x − x0)/σ')/2 · (σ' − σ)
            SamplerStep second = euler_step(config, grid.timesteps[i + 1], to);
            second.from_saved = 1.0 + distance / (2.0 * from);
            second.from_x = distance / (2.0 * to);
            second.from_x0 = {-distance / (2.0 * to), -distance / (2.0 * from)};
            plan.steps.push_back(std::move(second));
        }
        return begun_at(std::move(plan), 2 * static_cast<std::size_t>(first));  // two evaluations a step
    }
};

}  // namespace

std::unique_ptr<Sampler> make_heun() {
    return std::make_unique<Heun>();
}

}  // namespace t2i
