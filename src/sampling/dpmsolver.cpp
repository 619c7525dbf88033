#include "sampling/dpmsolver.h"

#include <cmath>

#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// The ++ forms are written in x0, with e^{−h} or, as stochastic equation, e^{−2h}.
DpmWeights data_weights(const NoiseLevel& to, const NoiseLevel& from, float h, bool is_sde) {
    const float decay = std::exp(-h), decay_squared = std::exp(-2.0F * h);
    DpmWeights w;
    w.from_x = is_sde ? to.sigma / from.sigma * decay : to.sigma / from.sigma;
    w.first = is_sde ? to.alpha * (1.0F - decay_squared) : -(to.alpha * (decay - 1.0F));
    w.midpoint = 0.5 * w.first;
    w.heun = is_sde ? to.alpha * ((1.0F - decay_squared) / (-2.0F * h) + 1.0F) : to.alpha * ((decay - 1.0F) / h + 1.0F);
    const float twice = 2.0F * h;
    w.third = is_sde ? to.alpha * ((1.0F - decay_squared - twice) / (twice * twice) - 0.5F)
                     : -(to.alpha * ((decay - 1.0F + h) / (h * h) - 0.5F));
    if (is_sde) w.noise = to.sigma * std::sqrt(1.0F - decay_squared);
    return w;
}

// The first forms are written in ε, with e^h.
DpmWeights noise_weights(const NoiseLevel& to, const NoiseLevel& from, float h, bool is_sde) {
    const float growth = std::exp(h), times = is_sde ? 2.0F : 1.0F;
    DpmWeights w;
    w.from_x = to.alpha / from.alpha;
    w.first = -(times * (to.sigma * (growth - 1.0F)));
    w.midpoint = 0.5 * w.first;
    w.heun = -(times * (to.sigma * ((growth - 1.0F) / h - 1.0F)));
    w.third = -(to.sigma * ((growth - 1.0F - h) / (h * h) - 0.5F));
    if (is_sde) w.noise = to.sigma * std::sqrt(std::exp(2.0F * h) - 1.0F);
    return w;
}

}  // namespace

DpmWeights dpm_weights(const std::string& algorithm, const NoiseLevel& to, const NoiseLevel& from) {
    const float h = to.lambda - from.lambda;
    const bool is_sde = algorithm.starts_with("sde-");
    return algorithm.ends_with("++") ? data_weights(to, from, h, is_sde) : noise_weights(to, from, h, is_sde);
}

void keep_for_dpm(SamplerStep& step, const ScheduleConfig& config, const NoiseLevel& level) {
    if (config.algorithm_type.ends_with("++")) keep_data(step, config, level.alpha, level.sigma);
    else keep_noise(step, config, level.alpha, level.sigma);
}

void check_dpm(const ScheduleConfig& config, const char* name) {
    const bool is_plus = config.algorithm_type.ends_with("++");
    check_abilities(config, name, {.sigma_schedules = true, .lu = true, .flow_sigmas = is_plus, .flow_prediction = is_plus});
    if (config.prediction == Prediction::flow && !config.flow_sigmas)
        throw Error(ErrorCode::invalid_argument, "a model that predicts a flow needs the flow schedule", Field{"scheduler"});
    if (!is_plus && config.final_sigmas_type == "zero")
        throw Error(ErrorCode::invalid_argument,
                    std::string("the sampler ") + name + " needs \"final_sigmas_type\" sigma_min; use dpm++2m", Field{"sampler"});
}

}  // namespace t2i
