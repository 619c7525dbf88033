// Ancestral sampling with a learned variance on a respaced schedule (Nichol & Dhariwal 2021, eq. 15 and section 4;
// facebookresearch/DiT, diffusion/respace.py and gaussian_diffusion.py: create_diffusion(str(steps)), p_sample_loop).
//
// The tables are float64 and read as float32, as there. x' = coef1·x0 + coef2·x + exp(½ log σ²)·noise, where
// log σ² = f·log β + (1 − f)·log β̃ and f = (v + 1) / 2: exp(¼(log β + log β̃)) · exp(¼(log β − log β̃) · v).
#include <algorithm>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

double as_float(double x) {
    return static_cast<double>(static_cast<float>(x));
}

// ᾱ of training, in double.
std::vector<double> cumulative_alphas(const ScheduleConfig& config) {
    if (config.beta_schedule != "linear") {  // none of facebook's
        const std::vector<float> alphas = alphas_cumprod(config);
        return {alphas.begin(), alphas.end()};
    }
    std::vector<double> alphas = linspace(config.beta_start, config.beta_end, config.train_steps);
    double product = 1.0;
    for (double& value : alphas) value = product *= 1.0 - value;
    return alphas;
}

// space_timesteps(): a fractional stride, added up and rounded half to even. Ascending.
std::vector<int> kept_timesteps(const ScheduleConfig& config, int steps) {
    const double stride = steps <= 1 ? 1.0 : static_cast<double>(config.train_steps - 1) / (steps - 1);
    std::vector<int> kept;
    double at = 0.0;
    for (int i = 0; i < steps; ++i, at += stride) kept.push_back(static_cast<int>(std::nearbyint(at)));
    return kept;
}

class Iddpm final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "iddpm", {});
        if (config.prediction != Prediction::epsilon)
            throw Error(ErrorCode::invalid_argument, "iddpm is for models that predict the noise", Field{"sampler"});
        check_steps(config, steps);
        const std::vector<double> training = cumulative_alphas(config);
        const std::vector<int> kept = kept_timesteps(config, steps);
        // ᾱ of the respaced schedule, from the betas between the kept ones, as SpacedDiffusion makes it.
        std::vector<double> betas, alphas_bar;
        double last = 1.0, product = 1.0;
        for (const int t : kept) {
            const double here = training[static_cast<std::size_t>(t)];
            betas.push_back(1.0 - here / last);
            alphas_bar.push_back(product *= 1.0 - betas.back());
            last = here;
        }
        SamplerPlan plan;
        plan.reads_variance = true;
        plan.noise_for_all_rows = true;
        for (std::size_t i = kept.size(); i-- > 0;) plan.steps.push_back(step(kept, betas, alphas_bar, i));
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }

  private:
    static SamplerStep step(const std::vector<int>& kept, const std::vector<double>& betas, const std::vector<double>& alphas_bar,
                            std::size_t i) {
        const auto before = [&](std::size_t at) { return at == 0 ? 1.0 : alphas_bar[at - 1]; };
        const auto posterior = [&](std::size_t at) { return betas[at] * (1.0 - before(at)) / (1.0 - alphas_bar[at]); };
        SamplerStep s{
            .timestep = static_cast<double>(kept[i]),
            .begins_at = {.signal = as_float(std::sqrt(alphas_bar[i])), .noise = as_float(std::sqrt(1.0 - alphas_bar[i]))}};
        s.x0_from_x = as_float(std::sqrt(1.0 / alphas_bar[i]));
        s.x0_from_model = -as_float(std::sqrt(1.0 / alphas_bar[i] - 1.0));
        s.from_x0 = {as_float(betas[i] * std::sqrt(before(i)) / (1.0 - alphas_bar[i]))};
        s.from_x = as_float((1.0 - before(i)) * std::sqrt(1.0 - betas[i]) / (1.0 - alphas_bar[i]));
        s.draws_noise = true;  // for the last step, too, which does not use it
        if (i == 0) return s;
        const double least = as_float(std::log(posterior(i))), most = as_float(std::log(betas[i]));
        s.from_noise = std::exp((most + least) / 4);
        s.variance_slope = (most - least) / 4;
        return s;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_iddpm() {
    return std::make_unique<Iddpm>();
}

}  // namespace t2i
