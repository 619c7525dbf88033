// DPM-Solver and DPM-Solver++, multistep, of orders 1 to 3, and their SDE variants (Lu et al. 2022, arXiv 2211.01095, algorithm 2
// and appendix); diffusers: DPMSolverMultistepScheduler.
#include "core/check.h"
#include "sampling/dpmsolver.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// How far back the step at `i` of those from `first` looks. Below `few_steps` lower_order_final steadies the end.
int order_at(const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, std::size_t first) {
    constexpr std::size_t few_steps = 15;
    const std::size_t steps = grid.timesteps.size();
    const bool is_steadied = config.lower_order_final && steps < few_steps;
    const bool ends_first_order = i + 1 == steps && (config.euler_at_final || config.final_sigmas_type == "zero" || is_steadied);
    // A slope over no distance is undefined.
    const bool is_repeated = grid.is_repeated(i) || (i > first && grid.is_repeated(i - 1));
    if (config.solver_order == 1 || i < first + 1 || ends_first_order || is_repeated) return 1;
    const bool ends_second_order = i + 2 == steps && is_steadied;
    if (config.solver_order == 2 || i < first + 2 || ends_second_order || grid.is_repeated(i - 2)) return 2;
    return 3;
}

// D1 = (m0 − m1)/r0 and, of third order, its slope, with r the distances in λ over h.
void add_update(SamplerStep& s, const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, int order) {
    const NoiseLevel &to = grid.levels[i + 1], &from = grid.levels[i];
    const DpmWeights w = dpm_weights(config.algorithm_type, to, from);
    s.from_x = w.from_x;
    s.from_x0 = {w.first};
    s.draws_noise = is_sde(config);
    s.from_noise = w.noise;
    if (order == 1) return;
    const float h = to.lambda - from.lambda;
    const float r0 = (from.lambda - grid.levels[i - 1].lambda) / h;
    if (order == 2) {
        const double k = config.solver_type == "heun" ? w.heun : w.midpoint;
        const double inverse_ratio = 1.0F / r0;
        s.from_x0 = {w.first + k * inverse_ratio, -k * inverse_ratio};
        return;
    }
    // D1 = a + r0/(r0 + r1)·(a − b) and D2 = (a − b)/(r0 + r1), a = (m0 − m1)/r0, b = (m1 − m2)/r1
    const float r1 = (grid.levels[i - 1].lambda - grid.levels[i - 2].lambda) / h;
    const double share = r0 / (r0 + r1), inverse_sum = 1.0F / (r0 + r1);
    const double of_a = w.heun * (1.0 + share) + w.third * inverse_sum, of_b = -w.heun * share - w.third * inverse_sum;
    const double inverse_r0 = 1.0F / r0, inverse_r1 = 1.0F / r1;
    s.from_x0 = {w.first + of_a * inverse_r0, -of_a * inverse_r0 + of_b * inverse_r1, -of_b * inverse_r1};
}

class DpmSolverMultistep final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_dpm(config, sampler_for(config).name.c_str());
        T2I_CHECK(config.solver_order >= 1 && config.solver_order <= 3, "solver order " + std::to_string(config.solver_order));
        if (config.solver_order == 3 && config.algorithm_type == "sde-dpmsolver")
            throw Error(ErrorCode::invalid_argument, "\"sde-dpmsolver\" has no third order", Field{"sampler"});
        const SolverGrid grid = solver_grid(config, steps, {.rounds_on_cosine = false});
        SamplerPlan plan;
        const auto begin = static_cast<std::size_t>(first);
        for (std::size_t i = begin; i < grid.timesteps.size(); ++i) {
            SamplerStep s = grid.step(i);
            keep_for_dpm(s, config, grid.levels[i]);
            add_update(s, config, grid, i, order_at(config, grid, i, begin));
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_dpmsolver_multistep() {
    return std::make_unique<DpmSolverMultistep>();
}

}  // namespace t2i
