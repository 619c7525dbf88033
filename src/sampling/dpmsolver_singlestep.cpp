// DPM-Solver and DPM-Solver++, single-step: groups of up to three evaluations, each of which starts again from where its group
// began (Lu et al. 2022, arXiv 2206.00927, algorithms 1 and 2); diffusers: DPMSolverSinglestepScheduler.
#include <algorithm>

#include "core/check.h"
#include "sampling/dpmsolver.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

// The order of each evaluation: 1, 2, 3, 1, 2, 3, …, and what is left of the steps at the end.
std::vector<int> orders_of(const ScheduleConfig& config, int steps) {
    const int order = config.solver_order;
    const bool ends_in_zero = config.final_sigmas_type == "zero";
    const bool is_lower = config.lower_order_final || steps % order != 0 || ends_in_zero;
    std::vector<int> orders;
    for (int i = 0; i < steps; ++i) orders.push_back(i % order + 1);
    if (is_lower && order == 3 && steps % 3 == 0) orders[orders.size() - 1] = 1;
    if (is_lower && order == 2 && steps % 2 == 0) orders.back() = 1;
    if (ends_in_zero) orders.back() = 1;
    return orders;
}

// `order` evaluations from the level where the group began to the next one.
void add_update(SamplerStep& s, const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, int order) {
    const std::size_t begin = i + 1 - static_cast<std::size_t>(order);
    const NoiseLevel &to = grid.levels[i + 1], &base = grid.levels[begin];
    const DpmWeights w = dpm_weights(config.algorithm_type, to, base);
    const bool is_heun = config.solver_type == "heun";
    s.saves = order == 1;
    s.saved_from_x = order == 1 ? 1.0 : 0.0;
    s.from_saved = w.from_x;
    s.draws_noise = is_sde(config);
    s.from_noise = w.noise;
    s.from_x0 = {w.first};
    if (order == 1) return;
    const float h = to.lambda - base.lambda;
    const float r0 = (grid.levels[i].lambda - base.lambda) / h;
    const double inverse_r0 = 1.0F / r0;
    if (order == 2) {
        const double k = (is_heun ? w.heun : w.midpoint) * inverse_r0;
        s.from_x0 = {k, w.first - k};
        return;
    }
    // a = (m1 − m2)/r1 and b = (m0 − m2)/r0; midpoint takes b alone, heun a parabola through the three.
    const float r1 = (grid.levels[i - 1].lambda - base.lambda) / h;
    const double inverse_r1 = 1.0F / r1, difference = r0 - r1;
    double of_a = 0.0, of_b = w.heun;
    if (is_heun) {
        of_a = (w.heun * static_cast<double>(r0) - 2.0 * w.third) / difference;
        of_b = (-w.heun * static_cast<double>(r1) + 2.0 * w.third) / difference;
    }
    s.from_x0 = {of_b * inverse_r0, of_a * inverse_r1, w.first - of_a * inverse_r1 - of_b * inverse_r0};
}

class DpmSolverSinglestep final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_dpm(config, sampler_for(config).name.c_str());
        T2I_CHECK(config.solver_order >= 1 && config.solver_order <= 3, "solver order " + std::to_string(config.solver_order));
        const SolverGrid grid = solver_grid(config, steps, {.has_spacing = false});
        std::vector<int> orders = orders_of(config, static_cast<int>(grid.timesteps.size()));
        SamplerPlan plan;
        const auto begin = static_cast<std::size_t>(first);
        for (std::size_t i = begin; i < grid.timesteps.size(); ++i) {
            orders[i] = std::min(orders[i], static_cast<int>(i - begin) + 1);  // a group that began before
            SamplerStep s = grid.step(i);
            keep_for_dpm(s, config, grid.levels[i]);
            // A slope over no distance is undefined: such a step begins a group of its own.
            bool is_repeated = false;
            for (int back = 1; back < orders[i]; ++back) is_repeated |= grid.is_repeated(i - static_cast<std::size_t>(back));
            if (is_repeated) {
                for (std::size_t j = i; j < orders.size() && (j == i || orders[j] > 1); ++j)
                    orders[j] = static_cast<int>(j - i) + 1;
            }
            add_update(s, config, grid, i, orders[i]);
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_dpmsolver_singlestep() {
    return std::make_unique<DpmSolverSinglestep>();
}

}  // namespace t2i
