// DPM-Solver++ (2M) and its SDE variant (Lu et al. 2022, arXiv 2211.01095, algorithm 2 and appendix);
// diffusers: DPMSolverMultistepScheduler with algorithm_type dpmsolver++ and sde-dpmsolver++, orders 1 and 2.
#include <cmath>

#include "core/check.h"
#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// x = α·x0 + σ·ε with half log-SNR λ = ln α − ln σ, in float32 as diffusers.
struct NoiseLevel {
    float alpha, sigma, lambda;
};

NoiseLevel level_of(float sigma, bool is_flow) {
    const float alpha = is_flow ? 1.0F - sigma : 1.0F / std::sqrt(sigma * sigma + 1.0F);
    const float scaled = is_flow ? sigma : sigma * alpha;
    return {alpha, scaled, std::log(alpha) - std::log(scaled)};
}

struct Grid {
    std::vector<double> timesteps;
    std::vector<float> sigmas;  // one more than timesteps
};

Grid make_grid(const ScheduleConfig& config, int steps) {
    const auto training = sigmas_of(alphas_cumprod(config));
    Grid grid;
    std::vector<double> sigmas;
    if (config.karras_sigmas) {
        check_steps(config, steps);
        sigmas = karras_sigmas(training.back(), training.front(), steps);
        for (const double s : sigmas) grid.timesteps.push_back(std::nearbyint(timestep_of(training, s)));
    } else if (config.flow_sigmas) {
        check_steps(config, steps);
        const auto alphas = linspace(1.0, 1.0 / config.train_steps, steps + 1);
        for (int i = steps; i >= 1; --i)
            sigmas.push_back(shift_sigma(1.0 - alphas[static_cast<std::size_t>(i)], config.flow_shift));
        // diffusers stores timesteps as integers, so flow timesteps are truncated.
        for (const double s : sigmas) grid.timesteps.push_back(std::trunc(s * config.train_steps));
    } else {
        grid.timesteps = dpm_timestep_grid(config, steps);
        for (const double t : grid.timesteps) sigmas.push_back(sigma_at(training, t));
    }
    sigmas.push_back(config.final_sigmas_type == "zero" ? 0.0 : static_cast<double>(training.front()));
    for (const double s : sigmas) grid.sigmas.push_back(static_cast<float>(s));
    return grid;
}

class DpmSolver final : public Sampler {
  public:
    explicit DpmSolver(bool is_sde) : is_sde_(is_sde) {}

    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps) const override {
        check_abilities(config, is_sde_ ? "dpm++2m_sde" : "dpm++2m",
                        {.karras = true, .flow_sigmas = true, .flow_prediction = true});
        if (config.prediction == Prediction::flow && !config.flow_sigmas) {
            throw Error(ErrorCode::invalid_argument, "a model that predicts a flow needs the flow schedule", Field{"scheduler"});
        }
        T2I_CHECK(config.solver_order == 1 || config.solver_order == 2, "solver order " + std::to_string(config.solver_order));
        const Grid grid = make_grid(config, steps);
        std::vector<NoiseLevel> levels;
        for (const float sigma : grid.sigmas) levels.push_back(level_of(sigma, config.flow_sigmas));
        SamplerPlan plan;
        for (std::size_t i = 0; i < grid.timesteps.size(); ++i) {
            SamplerStep s{.timestep = grid.timesteps[i]};
            set_data_prediction(s, config.prediction, levels[i].alpha, levels[i].sigma);
            const bool is_last = i + 1 == grid.timesteps.size();
            constexpr std::size_t few_steps = 15;  // diffusers: below this, lower_order_final steadies the end
            const bool ends_first_order = is_last && (config.euler_at_final || config.final_sigmas_type == "zero" ||
                                                      (config.lower_order_final && grid.timesteps.size() < few_steps));
            // Rounding can repeat a timestep when steps nears train_steps; a slope over no distance is
            // undefined.
            const bool is_repeated =
                levels[i].lambda == levels[i + 1].lambda || (i > 0 && levels[i].lambda == levels[i - 1].lambda);
            const bool is_first_order = config.solver_order == 1 || i == 0 || ends_first_order || is_repeated;
            add_update(s, config, levels[i + 1], levels[i], is_first_order ? nullptr : &levels[i - 1]);
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }

  private:
    // From level `from` to level `to`; `older` is the level before `from`, or null for a first-order step.
    //   x' = (σ'/σ) e^{−h·sde} x + c·m0 + k·(m0 − m1)/r0 + noise,  h = λ' − λ,  r0 = (λ − λ_older)/h
    void add_update(SamplerStep& s, const ScheduleConfig& config, const NoiseLevel& to, const NoiseLevel& from,
                    const NoiseLevel* older) const {
        const float h = to.lambda - from.lambda;
        const float decay = std::exp(-h), decay_squared = std::exp(-2.0F * h);
        const double c = is_sde_ ? to.alpha * (1.0F - decay_squared) : -(to.alpha * (decay - 1.0F));
        s.from_x = is_sde_ ? to.sigma / from.sigma * decay : to.sigma / from.sigma;
        s.from_x0 = {c};
        if (older != nullptr) {
            const double k = config.solver_type == "heun" ? heun_weight(to.alpha, h, decay, decay_squared) : 0.5 * c;
            const double inverse_ratio = 1.0F / ((from.lambda - older->lambda) / h);
            s.from_x0 = {c + k * inverse_ratio, -k * inverse_ratio};
        }
        s.draws_noise = is_sde_;
        if (is_sde_) s.from_noise = to.sigma * std::sqrt(1.0F - decay_squared);
    }
    [[nodiscard]] double heun_weight(float alpha, float h, float decay, float decay_squared) const {
        return is_sde_ ? alpha * ((1.0F - decay_squared) / (-2.0F * h) + 1.0F) : alpha * ((decay - 1.0F) / h + 1.0F);
    }

    bool is_sde_;
};

}  // namespace

std::unique_ptr<Sampler> make_dpmsolver() {
    return std::make_unique<DpmSolver>(/*is_sde=*/false);
}
std::unique_ptr<Sampler> make_dpmsolver_sde() {
    return std::make_unique<DpmSolver>(/*is_sde=*/true);
}

}  // namespace t2i
