// DDIM (Song et al. 2021, eq. 12 and 16); diffusers: DDIMScheduler.step.
#include <algorithm>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

class Ddim final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "ddim", {});
        const auto alphas = alphas_cumprod(config);
        const float final_alpha = config.set_alpha_to_one ? 1.0F : alphas[0];
        // With linspace spacing this is not the next grid entry; diffusers steps back by the whole ratio all
        // the same.
        const int stride = config.train_steps / steps_or_one(steps);
        SamplerPlan plan;
        for (const double t : timestep_grid(config, steps, /*round_linspace=*/true)) {
            const std::size_t now = index_of(config, t);
            const int previous = static_cast<int>(t) - stride;
            const float alpha_previous = previous >= 0 ? alphas[static_cast<std::size_t>(previous)] : final_alpha;
            plan.steps.push_back(step(config, t, alphas[now], alpha_previous));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }

  private:
    static int steps_or_one(int steps) { return std::max(steps, 1); }  // timestep_grid rejects the rest

    // x' = √ᾱ' x0 + √(1 − ᾱ' − s²) ε + s·noise, where ε = (x − √ᾱ x0)/√(1 − ᾱ) for every kind of prediction.
    static SamplerStep step(const ScheduleConfig& config, double timestep, float alpha, float alpha_previous) {
        const float variance = (1.0F - alpha_previous) / (1.0F - alpha) * (1.0F - alpha / alpha_previous);
        const float deviation = static_cast<float>(config.eta) * std::sqrt(std::max(variance, 0.0F));
        const double direction = std::sqrt(std::max(1.0F - alpha_previous - deviation * deviation, 0.0F));
        const double signal = std::sqrt(alpha), noise = std::sqrt(1.0F - alpha);
        SamplerStep s{.timestep = timestep, .begins_at = noise_mix(alpha)};
        keep_data(s, config, signal, noise);
        if (config.limit.range > 0.0) {  // of x0 alone: ε is the model's
            const FromModel epsilon = noise_of(config.prediction, signal, noise);
            s.from_x = direction * epsilon.x;
            s.from_model = direction * epsilon.model;
            s.from_x0 = {std::sqrt(alpha_previous)};
        } else {
            s.from_x = direction / noise;
            s.from_x0 = {std::sqrt(alpha_previous) - direction * signal / noise};
        }
        s.from_noise = deviation;
        s.draws_noise = config.eta > 0.0;
        return s;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_ddim() {
    return std::make_unique<Ddim>();
}

}  // namespace t2i
