// SA-Solver: stochastic Adams-Bashforth predictor and Adams-Moulton corrector (Xue et al. 2023, arXiv 2309.05019, algorithm 1);
// diffusers: SASolverScheduler, with its own τ: noise is added (τ = 1) at timesteps from 200 to 800 alone.
#include <algorithm>
#include <array>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "sampling/solver_grid.h"

namespace t2i {

namespace {

// Everything in float32, as diffusers: with it cancels what cancels there.

// ∫ e^{(1+τ²)λ} λ^k dλ from s to t.
float grown_moment(int k, float s, float t, float tau) {
    const float rate = 1.0F + tau * tau, a = rate * s, b = rate * t;
    const auto polynomial = [k](float v) {
        switch (k) {
            case 0:
                return 1.0F;
            case 1:
                return v - 1.0F;
            case 2:
                return v * v - 2.0F * v + 2.0F;
            default:
                return v * v * v - 3.0F * (v * v) + 6.0F * v - 6.0F;
        }
    };
    return std::exp(b) * (polynomial(b) - polynomial(a) * std::exp(-(b - a))) / std::pow(rate, static_cast<float>(k + 1));
}

// ∫ e^{−λ} λ^k dλ from s to t.
float decayed_moment(int k, float s, float t) {
    const auto polynomial = [k](float v) {
        switch (k) {
            case 0:
                return 1.0F;
            case 1:
                return v + 1.0F;
            case 2:
                return v * v + 2.0F * v + 2.0F;
            default:
                return v * v * v + 3.0F * (v * v) + 6.0F * v + 6.0F;
        }
    };
    return std::exp(-t) * (polynomial(s) * std::exp(t - s) - polynomial(t));
}

// The polynomial in λ that is 1 at nodes[i] and 0 at the others: coefficients of the highest power first.
std::vector<float> lagrange(const std::vector<float>& nodes, std::size_t i) {
    std::vector<float> polynomial{1.0F};
    float denominator = 1.0F;
    for (std::size_t j = 0; j < nodes.size(); ++j) {
        if (j == i) continue;
        denominator *= nodes[i] - nodes[j];
        std::vector<float> longer(polynomial.size() + 1);
        for (std::size_t k = 0; k < polynomial.size(); ++k) {
            longer[k] += polynomial[k];
            longer[k + 1] -= nodes[j] * polynomial[k];
        }
        polynomial = std::move(longer);
    }
    for (float& c : polynomial) c /= denominator;
    return polynomial;
}

// From level `from` to level `to`: weights of what was kept at `nodes` (λ, newest first), with the first two nodes of a step of
// second order corrected as in the paper's appendix (predictor and corrector differ in `span`).
std::vector<double> weights(const ScheduleConfig& config, const NoiseLevel& to, const NoiseLevel& from,
                            const std::vector<float>& nodes, float tau, bool is_corrector) {
    const float h = to.lambda - from.lambda, rate = 1.0F + tau * tau;
    std::vector<float> sums;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const std::vector<float> polynomial = lagrange(nodes, i);
        float sum = 0.0F;
        for (std::size_t j = 0; j < nodes.size(); ++j) {
            const int power = static_cast<int>(nodes.size() - 1 - j);
            sum += polynomial[j] * (config.predict_x0 ? grown_moment(power, from.lambda, to.lambda, tau)
                                                      : decayed_moment(power, from.lambda, to.lambda));
        }
        sums.push_back(sum);
    }
    if (config.predict_x0 && nodes.size() == 2) {
        const float rest = h * rate - 1.0F + std::exp(rate * -h);
        const float shift =
            is_corrector ? h / 2.0F - rest / (rate * rate * h) : (h * h / 2.0F - rest / (rate * rate)) / (from.lambda - nodes[1]);
        sums[0] += std::exp(rate * to.lambda) * shift;
        sums[1] -= std::exp(rate * to.lambda) * shift;
    }
    std::vector<double> list;
    const float size = config.predict_x0 ? rate * to.sigma * std::exp(-(tau * tau) * to.lambda) : -(rate * to.alpha);
    for (const float sum : sums) list.push_back(static_cast<double>(size * sum));
    return list;
}

struct Move {
    double of_x = 1.0, of_noise = 0.0;
    std::vector<double> of_kept{};
};

// nodes: λ of what is kept, newest first.
Move move(const ScheduleConfig& config, const NoiseLevel& to, const NoiseLevel& from, const std::vector<float>& nodes, float tau,
          bool is_corrector) {
    const float h = to.lambda - from.lambda;
    Move m;
    m.of_kept = weights(config, to, from, nodes, tau, is_corrector);
    if (config.predict_x0) {
        m.of_x = std::exp(-(tau * tau) * h) * (to.sigma / from.sigma);
        m.of_noise = to.sigma * std::sqrt(1.0F - std::exp(-2.0F * (tau * tau) * h));
    } else {
        m.of_x = to.alpha / from.alpha;
        m.of_noise = tau * to.sigma * std::sqrt(std::exp(2.0F * h) - 1.0F);
    }
    return m;
}

std::vector<float> nodes_at(const SolverGrid& grid, std::size_t i, std::size_t order) {
    std::vector<float> nodes;
    for (std::size_t k = 0; k < order; ++k) nodes.push_back(grid.levels[i - k].lambda);
    return nodes;
}

// Lower where two neighbours are the same level: no polynomial goes through both.
std::size_t distinct(const SolverGrid& grid, std::size_t i, std::size_t order) {
    for (std::size_t k = 1; k < order; ++k)
        if (grid.is_repeated(i - k)) return k;
    return order;
}

float tau_at(double timestep) {
    return timestep >= 200.0 && timestep <= 800.0 ? 1.0F : 0.0F;
}

class SaSolver final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "sa_solver",
                        {.sigma_schedules = true, .flow_sigmas = true, .flow_prediction = config.predict_x0});
        const SolverGrid grid = solver_grid(config, steps, {.ends_in_last = true, .ends_as_asked = false});
        const std::size_t count = grid.timesteps.size();
        SamplerPlan plan;
        std::size_t corrector_order = 0;
        const auto begin = static_cast<std::size_t>(first);
        const std::vector<float> alphas = alphas_cumprod(config);
        for (std::size_t i = begin; i < count; ++i) {
            SamplerStep s = grid.step(i);
            // Of a level between timesteps, too, diffusers noises a picture to the timestep's.
            if (!config.flow_sigmas) s.begins_at = noise_mix(alphas[index_of(config, grid.timesteps[i])]);
            s.saves = s.draws_noise = true;
            const NoiseLevel& level = grid.levels[i];
            if (config.predict_x0) keep_data(s, config, level.alpha, level.sigma);
            else keep_noise(s, config, level.alpha, level.sigma);
            if (i == begin || grid.is_repeated(i - 1)) {
                s.saved_from_x = 1.0;
            } else {
                const std::size_t order = distinct(grid, i, corrector_order);
                Move m = move(config, level, grid.levels[i - 1], nodes_at(grid, i, order), tau_at(grid.timesteps[i - 1]), true);
                s.saved_from_saved = m.of_x;
                s.saved_from_noise = m.of_noise;
                s.saved_from_x0 = std::move(m.of_kept);
            }
            const auto most = static_cast<std::size_t>(config.solver_order), left = count - i;
            const auto most_corrected = static_cast<std::size_t>(config.corrector_order);
            const std::size_t order = distinct(grid, i, std::min({most, config.lower_order_final ? left : most, i - begin + 1}));
            corrector_order = std::min({most_corrected, config.lower_order_final ? left + 1 : most_corrected, i - begin + 2});
            Move m = move(config, grid.levels[i + 1], level, nodes_at(grid, i, order), tau_at(grid.timesteps[i]), false);
            s.from_saved = m.of_x;
            s.from_noise = m.of_noise;
            s.from_x0 = std::move(m.of_kept);
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_sa_solver() {
    return std::make_unique<SaSolver>();
}

}  // namespace t2i
