// Euler's method on a flow-matching ODE, x_σ = (1 − σ)·x0 + σ·noise (Lipman et al. 2023, Esser et al. 2024);
// diffusers: FlowMatchEulerDiscreteScheduler. DDIM takes the same steps on such a model. The ancestral form goes further down and
// adds fresh noise up to the next level; ComfyUI: sample_euler_ancestral_RF with eta 1.
#include <algorithm>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// diffusers shifts twice: the ends of the grid when it is built, then every σ of it.
std::vector<float> flow_grid(const ScheduleConfig& config, int steps) {
    const auto shift = static_cast<float>(config.flow_shift), train_steps = static_cast<float>(config.train_steps);
    const auto end_of_grid = [&](float timestep) {
        const float sigma = timestep / train_steps;
        return static_cast<double>(shift * sigma / (1.0F + (shift - 1.0F) * sigma));
    };
    std::vector<float> sigmas;
    for (const double t :
         linspace(end_of_grid(train_steps) * config.train_steps, end_of_grid(1.0F) * config.train_steps, steps)) {
        sigmas.push_back(static_cast<float>(shift_sigma(t / config.train_steps, config.flow_shift)));
    }
    sigmas.push_back(0.0F);
    return sigmas;
}

class FlowEuler final : public Sampler {
  public:
    explicit FlowEuler(bool is_ancestral) : is_ancestral_(is_ancestral) {}

    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        const char* name = is_ancestral_ ? "flow_euler_a" : "flow_euler";
        check_abilities(config, name, {.flow_sigmas = true, .flow_prediction = true});
        if (config.prediction != Prediction::flow || !config.flow_sigmas) {
            throw Error(ErrorCode::invalid_argument,
                        std::string("the sampler ") + name + " needs a model that predicts a flow and the flow schedule",
                        Field{"sampler"});
        }
        check_steps(config, steps);
        const auto sigmas = flow_grid(config, steps);
        SamplerPlan plan;
        for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
            const auto from = static_cast<double>(sigmas[i]), to = static_cast<double>(sigmas[i + 1]);
            const double down = is_ancestral_ ? to * to / from : to, kept = down / from;
            SamplerStep s{.timestep = sigmas[i] * static_cast<float>(config.train_steps),
                          .begins_at = {.signal = 1.0 - from, .noise = from}};
            keep_data(s, config, 1.0 - static_cast<double>(sigmas[i]), sigmas[i]);
            // x' = x + (σ' − σ)·v with v = (x − x0)/σ
            s.from_x = kept;
            s.from_x0 = {1.0 - kept};
            if (is_ancestral_) {
                // x_down, scaled so that x0 has the next level's weight, and noise for the rest of its variance.
                const double scale = (1.0 - to) / (1.0 - down);
                s.from_x *= scale;
                s.from_x0.front() *= scale;
                s.from_noise = std::sqrt(std::max(to * to - scale * scale * down * down, 0.0));
                s.draws_noise = true;
            }
            plan.steps.push_back(std::move(s));
        }
        return begun_at(std::move(plan), static_cast<std::size_t>(first));
    }

  private:
    bool is_ancestral_;
};

}  // namespace

std::unique_ptr<Sampler> make_flow_euler() {
    return std::make_unique<FlowEuler>(false);
}

std::unique_ptr<Sampler> make_flow_euler_ancestral() {
    return std::make_unique<FlowEuler>(true);
}

}  // namespace t2i
