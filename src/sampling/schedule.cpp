#include "sampling/schedule.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.h"
#include "t2i/error.h"

namespace t2i {

namespace {

std::vector<double> descending(std::vector<double> values) {
    std::reverse(values.begin(), values.end());
    return values;
}

// round(last − i·T/n) − 1, with numpy.arange's way of adding the step. Shared by all samplers.
std::vector<double> trailing_grid(int train_steps, int steps, int last) {
    const double first = last, ratio = static_cast<double>(train_steps) / steps, step = (first - ratio) - first;
    // numpy.arange may give a timestep more, -1, where the ratio is rounded down; a whole schedule has `steps`.
    const int count = last == train_steps ? steps : static_cast<int>(std::ceil(first / ratio));
    std::vector<double> grid;
    for (int i = 0; i < std::min(count, steps); ++i) grid.push_back(std::nearbyint(first + i * step) - 1.0);
    return grid;
}

std::vector<double> leading_grid(int first_index, int count, int ratio, int offset) {
    std::vector<double> grid;
    for (int i = first_index + count - 1; i >= first_index; --i) {
        grid.push_back(static_cast<double>(i) * ratio + offset);
    }
    return grid;
}

}  // namespace

std::vector<double> linspace(double first, double last, int count) {
    std::vector<double> values;
    const double step = count > 1 ? (last - first) / (count - 1) : 0.0;
    for (int i = 0; i < count; ++i) values.push_back(i * step + first);
    if (count > 1) values.back() = last;
    return values;
}

std::vector<double> timestep_grid(const ScheduleConfig& config, int steps, bool round_linspace) {
    check_steps(config, steps);
    if (config.timestep_spacing == "trailing") return trailing_grid(config.train_steps, steps, config.train_steps);
    if (config.timestep_spacing == "leading") {
        return leading_grid(0, steps, config.train_steps / steps, config.steps_offset);
    }
    auto grid = descending(linspace(0.0, config.train_steps - 1, steps));
    for (double& t : grid) t = round_linspace ? std::nearbyint(t) : static_cast<double>(static_cast<float>(t));
    return grid;
}

std::vector<double> dpm_timestep_grid(const ScheduleConfig& config, int steps, int last) {
    check_steps(config, steps);
    if (config.timestep_spacing == "trailing") return trailing_grid(config.train_steps, steps, last);
    if (config.timestep_spacing == "leading") {
        const int ratio = last / (steps + 1);
        if (ratio == 0)
            throw Error(ErrorCode::invalid_argument, "leading timesteps allow at most " + std::to_string(last - 1) + " steps",
                        Field{"steps"});
        return leading_grid(1, steps, ratio, config.steps_offset);
    }
    auto grid = descending(linspace(0.0, last - 1, steps + 1));
    grid.pop_back();
    for (double& t : grid) t = std::nearbyint(t);
    return grid;
}

double sigma_at(std::span<const float> training_sigmas, double timestep) {
    const double last = static_cast<double>(training_sigmas.size() - 1);
    if (timestep <= 0.0) return training_sigmas.front();
    if (timestep >= last) return training_sigmas.back();
    const auto low = static_cast<std::size_t>(timestep);
    const double a = training_sigmas[low], b = training_sigmas[low + 1];
    return (b - a) * (timestep - static_cast<double>(low)) + a;
}

double timestep_of(std::span<const float> training_sigmas, double sigma) {
    if (training_sigmas.size() < 2) return 0.0;
    const double log_sigma = std::log(std::max(sigma, 1e-10));
    const auto above = std::find_if(training_sigmas.begin(), training_sigmas.end(),
                                    [&](float s) { return static_cast<double>(std::log(s)) > log_sigma; });
    const auto not_above = static_cast<std::size_t>(above - training_sigmas.begin());
    const std::size_t low = std::min(not_above == 0 ? 0 : not_above - 1, training_sigmas.size() - 2);
    const float log_low = std::log(training_sigmas[low]), log_high = std::log(training_sigmas[low + 1]);
    const double weight = std::clamp((log_low - log_sigma) / static_cast<double>(log_low - log_high), 0.0, 1.0);
    return (1.0 - weight) * static_cast<double>(low) + weight * static_cast<double>(low + 1);
}

double shift_sigma(double sigma, double shift) {
    return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

FromModel data_of(Prediction prediction, double alpha, double sigma) {
    switch (prediction) {
        case Prediction::epsilon:
            if (alpha == 0.0)
                throw Error(ErrorCode::invalid_argument,
                            "a model that predicts noise cannot begin where no signal is left (rescale_betas_zero_snr)",
                            Field{"sampler"});
            return {1.0 / alpha, -sigma / alpha};
        case Prediction::v_prediction:
            return {alpha, -sigma};
        case Prediction::sample:
            return {0.0, 1.0};
        case Prediction::flow:
            return {1.0, -sigma};
    }
    return {};
}

FromModel noise_of(Prediction prediction, double alpha, double sigma) {
    switch (prediction) {
        case Prediction::epsilon:
            return {0.0, 1.0};
        case Prediction::v_prediction:
            return {sigma, alpha};
        case Prediction::sample:
            return {1.0 / sigma, -alpha / sigma};
        case Prediction::flow:
            return {(1.0 - alpha) / sigma, alpha};
    }
    return {};
}

NoiseMix noise_mix(float alpha_cumprod) {
    return {.signal = std::sqrt(alpha_cumprod), .noise = std::sqrt(1.0F - alpha_cumprod)};
}

SamplerPlan begun_at(SamplerPlan plan, std::size_t first) {
    plan.steps.erase(plan.steps.begin(), plan.steps.begin() + static_cast<std::ptrdiff_t>(std::min(first, plan.steps.size())));
    return plan;
}

void keep_data(SamplerStep& step, const ScheduleConfig& config, double alpha, double sigma) {
    // Where no signal is left a limited x0 is at its bounds: (x − ε)/α is as large as it gets.
    constexpr double least_alpha = 1e-30;
    const FromModel data = data_of(config.prediction, config.limit.range > 0.0 ? std::max(alpha, least_alpha) : alpha, sigma);
    step.x0_from_x = data.x;
    step.x0_from_model = data.model;
    step.limit = config.limit;
}

void keep_noise(SamplerStep& step, const ScheduleConfig& config, double alpha, double sigma) {
    if (config.limit.range > 0.0) {
        keep_data(step, config, alpha, sigma);
        step.kept_from_x = 1.0 / sigma;
        step.kept_from_x0 = -alpha / sigma;
        return;
    }
    const FromModel noise = noise_of(config.prediction, alpha, sigma);
    step.x0_from_x = noise.x;
    step.x0_from_model = noise.model;
}

void check_steps(const ScheduleConfig& config, int steps) {
    if (steps >= 1 && steps <= config.train_steps) return;
    throw Error(
        ErrorCode::invalid_argument,
        "the number of steps must be between 1 and " + std::to_string(config.train_steps) + ", not " + std::to_string(steps),
        Field{"steps"});
}

std::size_t index_of(const ScheduleConfig& config, double timestep) {
    if (timestep >= config.train_steps)
        throw Error(ErrorCode::invalid_argument, "steps_offset moves a timestep past the schedule; use fewer steps",
                    Field{"steps"});
    return static_cast<std::size_t>(timestep);
}

void check_abilities(const ScheduleConfig& config, const char* name, SamplerAbilities abilities) {
    const auto fail = [&](const char* what) {
        throw Error(ErrorCode::invalid_argument, std::string("the sampler ") + name + " does not support " + what,
                    Field{"sampler"});
    };
    const bool has_schedule = config.sigma_schedule != SigmaSchedule::discrete;
    if (has_schedule && (!abilities.sigma_schedules || (config.sigma_schedule == SigmaSchedule::lu && !abilities.lu))) {
        static constexpr const char* names[]{"", "the karras schedule", "the lu schedule", "the exponential schedule",
                                             "the beta schedule"};
        fail(names[static_cast<int>(config.sigma_schedule)]);
    }
    if (config.flow_sigmas && !abilities.flow_sigmas) fail("the flow schedule");
    if (config.prediction == Prediction::flow && !abilities.flow_prediction) fail("models that predict a flow");
}

}  // namespace t2i
