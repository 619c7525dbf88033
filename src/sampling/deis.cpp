// DEIS with polynomials in ln ρ, multistep, of orders 1 to 3 (Zhang and Chen 2022, arXiv 2204.13902); diffusers:
// DEISMultistepScheduler. Written in ε; ρ = σ/α.
#include <array>
#include <cmath>

#include "sampling/dpmsolver.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

// ∫ of the line that is 1 at b and 0 at c, over ln ρ, up to t.
float line_integral(float t, float b, float c) {
    return t * (-std::log(c) + std::log(t) - 1.0F) / (std::log(b) - std::log(c));
}

// The same of the parabola that is 1 at b and 0 at c and d.
float parabola_integral(float t, float b, float c, float d) {
    const float log_t = std::log(t), log_c = std::log(c), log_d = std::log(d);
    const float numerator = t * (log_c * (log_d - log_t + 1.0F) - log_d * log_t + log_d + log_t * log_t - 2.0F * log_t + 2.0F);
    return numerator / ((std::log(b) - log_c) * (std::log(b) - log_d));
}

// At `i` of the steps from `first`.
std::size_t order_at(const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, std::size_t first) {
    constexpr std::size_t few_steps = 15;
    const std::size_t steps = grid.timesteps.size();
    const bool is_steadied = config.lower_order_final && steps < few_steps;
    const bool is_repeated = i > first && grid.is_repeated(i - 1);
    if (config.solver_order == 1 || i < first + 1 || (i + 1 == steps && is_steadied) || is_repeated) return 1;
    if (config.solver_order == 2 || i < first + 2 || (i + 2 == steps && is_steadied) || grid.is_repeated(i - 2)) return 2;
    return 3;
}

void add_update(SamplerStep& s, const SolverGrid& grid, std::size_t i, std::size_t order) {
    const NoiseLevel &to = grid.levels[i + 1], &from = grid.levels[i];
    if (order == 1) {
        const DpmWeights w = dpm_weights("dpmsolver", to, from);
        s.from_x = w.from_x;
        s.from_x0 = {w.first};
        return;
    }
    std::array<float, 3> rho{};
    for (std::size_t k = 0; k < order; ++k) rho[k] = grid.levels[i - k].sigma / grid.levels[i - k].alpha;
    const float end = to.sigma / to.alpha, begin = rho[0];
    s.from_x = to.alpha / static_cast<double>(from.alpha);
    for (std::size_t k = 0; k < order; ++k) {
        const float b = rho[k], c = rho[(k + 1) % order], d = rho[(k + 2) % order];
        const float part = order == 2 ? line_integral(end, b, c) - line_integral(begin, b, c)
                                      : parabola_integral(end, b, c, d) - parabola_integral(begin, b, c, d);
        s.from_x0.push_back(static_cast<double>(to.alpha) * static_cast<double>(part));
    }
}

class Deis final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "deis", {.sigma_schedules = true, .flow_sigmas = true, .flow_prediction = true});
        const SolverGrid grid = solver_grid(config, steps, {.has_clipping = false, .ends_in_last = true, .ends_as_asked = false});
        SamplerPlan plan;
        const auto begin = static_cast<std::size_t>(first);
        for (std::size_t i = begin; i < grid.timesteps.size(); ++i) {
            SamplerStep s = grid.step(i);
            keep_noise(s, config, grid.levels[i].alpha, grid.levels[i].sigma);
            add_update(s, grid, i, order_at(config, grid, i, begin));
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_deis() {
    return std::make_unique<Deis>();
}

}  // namespace t2i
