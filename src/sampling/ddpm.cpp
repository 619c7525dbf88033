// DDPM ancestral sampling (Ho et al. 2020, eq. 6 and 7) on a respaced grid; diffusers: DDPMScheduler.step.
#include <algorithm>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

class Ddpm final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "ddpm", {});
        const auto alphas = alphas_cumprod(config);
        const auto grid = timestep_grid(config, steps, /*round_linspace=*/true);
        SamplerPlan plan;
        for (std::size_t i = 0; i < grid.size(); ++i) {
            const float alpha_bar = alphas[index_of(config, grid[i])];
            const float alpha_bar_previous = i + 1 < grid.size() ? alphas[index_of(config, grid[i + 1])] : 1.0F;
            plan.steps.push_back(step(config, grid[i], alpha_bar, alpha_bar_previous));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }

  private:
    // The others are the model's (diffusers' pipelines take that half of its output off and fail), or the root of a negative
    // number (fixed_large_log).
    static void check_variance(const std::string& type) {
        if (type == "fixed_small" || type == "fixed_small_log" || type == "fixed_large") return;
        throw Error(ErrorCode::invalid_argument,
                    "the sampler ddpm cannot add noise of the variance type \"" + type +
                        "\" (fixed_small, fixed_small_log, fixed_large); use another sampler",
                    Field{"sampler"});
    }
    static SamplerStep step(const ScheduleConfig& config, double timestep, float alpha_bar, float alpha_bar_previous) {
        const float alpha = alpha_bar / alpha_bar_previous, beta = 1.0F - alpha;
        const float noise_now = 1.0F - alpha_bar, noise_previous = 1.0F - alpha_bar_previous;
        SamplerStep s{.timestep = timestep, .begins_at = noise_mix(alpha_bar)};
        keep_data(s, config, std::sqrt(alpha_bar), std::sqrt(noise_now));
        s.from_x = std::sqrt(alpha) * noise_previous / noise_now;
        s.from_x0 = {std::sqrt(alpha_bar_previous) * beta / noise_now};
        s.draws_noise = timestep > 0.0;
        if (s.draws_noise) {
            check_variance(config.variance_type);
            constexpr float least_variance = 1e-20F;  // diffusers' clamp, also where no noise should be left
            const float posterior = std::max(noise_previous / noise_now * beta, least_variance);
            s.from_noise = std::sqrt(config.variance_type == "fixed_large" ? beta : posterior);
        }
        return s;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_ddpm() {
    return std::make_unique<Ddpm>();
}

}  // namespace t2i
