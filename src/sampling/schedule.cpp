#include "sampling/schedule.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// torch.linspace in float32, which fills from both ends; its vector code rounds once per element (fused
// multiply-add).
std::vector<float> torch_linspace(float first, float last, int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    const float step = count > 1 ? (last - first) / static_cast<float>(count - 1) : 0.0F;
    for (int i = 0; i < count; ++i) {
        values[static_cast<std::size_t>(i)] = i < count / 2 || count == 1
                                                  ? std::fma(step, static_cast<float>(i), first)
                                                  : std::fma(-step, static_cast<float>(count - i - 1), last);
    }
    return values;
}

std::vector<double> descending(std::vector<double> values) {
    std::reverse(values.begin(), values.end());
    return values;
}

// round(T − i·T/n) − 1, with numpy.arange's way of adding the step. Shared by all samplers.
std::vector<double> trailing_grid(int train_steps, int steps) {
    const double first = train_steps, step = (first - first / steps) - first;
    std::vector<double> grid;
    for (int i = 0; i < steps; ++i) grid.push_back(std::nearbyint(first + i * step) - 1.0);
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

std::vector<float> alphas_cumprod(const ScheduleConfig& config) {
    const bool is_scaled = config.beta_schedule == "scaled_linear";
    T2I_CHECK(is_scaled || config.beta_schedule == "linear", "beta schedule " + config.beta_schedule);
    const double first = is_scaled ? std::sqrt(config.beta_start) : config.beta_start;
    const double last = is_scaled ? std::sqrt(config.beta_end) : config.beta_end;
    std::vector<float> values = torch_linspace(static_cast<float>(first), static_cast<float>(last), config.train_steps);
    double product = 1.0;  // torch.cumprod on the CPU accumulates float32 in double
    for (float& value : values) {
        const float beta = is_scaled ? value * value : value;
        product *= static_cast<double>(1.0F - beta);
        value = static_cast<float>(product);
    }
    return values;
}

std::vector<float> sigmas_of(std::span<const float> alphas_cumprod) {
    std::vector<float> sigmas;
    for (const float a : alphas_cumprod) sigmas.push_back(std::sqrt((1.0F - a) / a));
    return sigmas;
}

std::vector<double> linspace(double first, double last, int count) {
    std::vector<double> values;
    const double step = count > 1 ? (last - first) / (count - 1) : 0.0;
    for (int i = 0; i < count; ++i) values.push_back(i * step + first);
    if (count > 1) values.back() = last;
    return values;
}

std::vector<double> timestep_grid(const ScheduleConfig& config, int steps, bool round_linspace) {
    check_steps(config, steps);
    if (config.timestep_spacing == "trailing") return trailing_grid(config.train_steps, steps);
    if (config.timestep_spacing == "leading") {
        return leading_grid(0, steps, config.train_steps / steps, config.steps_offset);
    }
    auto grid = descending(linspace(0.0, config.train_steps - 1, steps));
    for (double& t : grid) t = round_linspace ? std::nearbyint(t) : static_cast<double>(static_cast<float>(t));
    return grid;
}

std::vector<double> dpm_timestep_grid(const ScheduleConfig& config, int steps) {
    check_steps(config, steps);
    if (config.timestep_spacing == "trailing") return trailing_grid(config.train_steps, steps);
    if (config.timestep_spacing == "leading") {
        const int ratio = config.train_steps / (steps + 1);
        if (ratio == 0)
            throw Error(ErrorCode::invalid_argument,
                        "leading timesteps allow at most " + std::to_string(config.train_steps - 1) + " steps", Field{"steps"});
        return leading_grid(1, steps, ratio, config.steps_offset);
    }
    auto grid = descending(linspace(0.0, config.train_steps - 1, steps + 1));
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

std::vector<double> karras_sigmas(double sigma_max, double sigma_min, int count) {
    constexpr double rho = 7.0;
    const double from = std::pow(sigma_max, 1.0 / rho), to = std::pow(sigma_min, 1.0 / rho);
    std::vector<double> sigmas = linspace(0.0, 1.0, count);
    for (double& s : sigmas) s = std::pow(from + s * (to - from), rho);
    return sigmas;
}

double shift_sigma(double sigma, double shift) {
    return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

void set_data_prediction(SamplerStep& step, Prediction prediction, double alpha, double sigma) {
    switch (prediction) {
        case Prediction::epsilon:
            step.x0_from_x = 1.0 / alpha;
            step.x0_from_model = -sigma / alpha;
            return;
        case Prediction::v_prediction:
            step.x0_from_x = alpha;
            step.x0_from_model = -sigma;
            return;
        case Prediction::sample:
            step.x0_from_x = 0.0;
            step.x0_from_model = 1.0;
            return;
        case Prediction::flow:
            step.x0_from_x = 1.0;
            step.x0_from_model = -sigma;
            return;
    }
}

void check_steps(const ScheduleConfig& config, int steps) {
    if (steps >= 1 && steps <= config.train_steps) return;
    throw Error(
        ErrorCode::invalid_argument,
        "the number of steps must be between 1 and " + std::to_string(config.train_steps) + ", not " + std::to_string(steps),
        Field{"steps"});
}

void check_abilities(const ScheduleConfig& config, const char* name, SamplerAbilities abilities) {
    const auto fail = [&](const char* what) {
        throw Error(ErrorCode::invalid_argument, std::string("the sampler ") + name + " does not support " + what,
                    Field{"sampler"});
    };
    if (config.karras_sigmas && !abilities.karras) fail("the karras schedule");
    if (config.flow_sigmas && !abilities.flow_sigmas) fail("the flow schedule");
    if (config.prediction == Prediction::flow && !abilities.flow_prediction) fail("models that predict a flow");
}

}  // namespace t2i
