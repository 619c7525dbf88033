// Samplers against a target whose denoiser has a closed form: x0 ~ N(mean, deviation²).
//
// For x = α·x0 + σ·ε the best data prediction is affine in x,
//     E[x0 | x] = mean + α·deviation² / (α²·deviation² + σ²) · (x − α·mean),
// and so is every step of every sampler. A sample is therefore carried as its coefficients over {1, the
// starting noise, each fresh noise}: the result's mean is the first one and its deviation the norm of the
// others, exactly, without drawing anything.
#include <cmath>

#include "sampling/sampler.h"
#include "sampling/schedule.h"
#include "unit/expect_error.h"
#include "unit/replay.h"

using namespace t2i;
using namespace t2i::test;

namespace {

constexpr double target_mean = 0.5, target_deviation = 0.7;

struct Level {
    double alpha, sigma;  // of x as the model sees it
};

// α and σ at a timestep, from the schedule alone (not from the plan under test).
Level level_at(const ScheduleConfig& config, double timestep) {
    if (config.prediction == Prediction::flow) return {1.0 - timestep / config.train_steps, timestep / config.train_steps};
    const double sigma = sigma_at(sigmas_of(alphas_cumprod(config)), timestep), size = std::sqrt(sigma * sigma + 1.0);
    return {1.0 / size, sigma / size};
}

// What the network would output: coefficients in, coefficients out.
std::vector<double> exact_model(const ScheduleConfig& config, const std::vector<double>& x, double timestep) {
    const auto [alpha, sigma] = level_at(config, timestep);
    const double variance = target_deviation * target_deviation;
    const double gain = alpha * variance / (alpha * alpha * variance + sigma * sigma);
    std::vector<double> out(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
        const double one = j == 0 ? 1.0 : 0.0;
        const double x0 = target_mean * one + gain * (x[j] - alpha * target_mean * one);
        const double epsilon = (x[j] - alpha * x0) / sigma;
        switch (config.prediction) {
            case Prediction::epsilon:
                out[j] = epsilon;
                break;
            case Prediction::v_prediction:
                out[j] = alpha * epsilon - sigma * x0;
                break;
            case Prediction::sample:
                out[j] = x0;
                break;
            case Prediction::flow:
                out[j] = epsilon - x0;
                break;
        }
    }
    return out;
}

// |mean error| + |deviation error| of the final samples.
double error_of(const std::string& sampler, const ScheduleConfig& config, int steps) {
    ScheduleConfig named = config;
    named.class_name = sampler_by_name(sampler).class_name;
    const SamplerPlan plan = sampler_by_name(sampler).make()->plan(named, steps);
    const SamplerStep& first = plan.steps.front();
    const auto [alpha, sigma] = level_at(config, first.timestep);
    std::vector<double> start(2 + plan.steps.size());
    // The exact marginal at the first timestep, so that only the solver's error is measured.
    start[0] = alpha * target_mean / first.model_scale;
    start[1] = std::hypot(alpha * target_deviation, sigma) / first.model_scale;
    const auto model = [&](const std::vector<double>& x, double t) { return exact_model(config, x, t); };
    const auto noise = [&](int draw) {
        std::vector<double> fresh(start.size());
        fresh[static_cast<std::size_t>(draw) + 2] = 1.0;
        return fresh;
    };
    const std::vector<double> last = replay<double>(plan, start, model, noise).back();
    double variance = 0.0;
    for (std::size_t j = 1; j < last.size(); ++j) variance += last[j] * last[j];
    return std::abs(last[0] - target_mean) + std::abs(std::sqrt(variance) - target_deviation);
}

struct Case {
    std::string sampler;
    ScheduleConfig config;
    double least_gain;  // by which the error must fall from 10 to 40 steps
    double limit;       // of the error at 200 steps
};

std::vector<Case> cases() {
    ScheduleConfig scaled;
    scaled.beta_schedule = "scaled_linear";
    scaled.beta_start = 0.00085;
    scaled.beta_end = 0.012;
    ScheduleConfig trailing = scaled;
    trailing.timestep_spacing = "trailing";
    ScheduleConfig velocity = scaled;
    velocity.prediction = Prediction::v_prediction;
    ScheduleConfig data = scaled;
    data.prediction = Prediction::sample;
    ScheduleConfig flow;
    flow.prediction = Prediction::flow;
    flow.flow_sigmas = true;
    flow.flow_shift = 3.0;
    ScheduleConfig noisy = trailing;
    noisy.eta = 1.0;
    ScheduleConfig heun = velocity;
    heun.solver_type = "heun";
    ScheduleConfig third = scaled;
    third.solver_order = 3;
    return {
        {"ddim", trailing, 3.0, 0.01},     {"ddim", noisy, 2.5, 0.02},
        {"ddpm", trailing, 2.5, 0.02},     {"dpm++2m", scaled, 3.0, 0.005},
        {"dpm++2m", heun, 3.0, 0.005},     {"dpm++2m", data, 3.0, 0.005},
        {"dpm++2m", flow, 2.0, 0.005},     {"dpm++2m_sde", scaled, 3.0, 0.01},
        {"euler", scaled, 3.0, 0.01},      {"euler", velocity, 3.0, 0.01},
        {"euler_a", scaled, 2.5, 0.02},    {"flow_euler", flow, 3.0, 0.01},
        {"flow_euler_a", flow, 2.5, 0.02}, {"dpm++2m", third, 3.0, 0.005},
        {"dpm++2s", scaled, 3.0, 0.005},   {"unipc", scaled, 3.0, 0.005},
        {"unipc", velocity, 3.0, 0.005},   {"unipc", flow, 2.0, 0.005},
        {"deis", scaled, 2.5, 0.005},      {"heun", scaled, 3.0, 0.005},
        {"sa_solver", scaled, 0.9, 0.002},  // its noise comes and goes at fixed timesteps, which few steps miss
    };
}

}  // namespace

TEST_CASE("samplers reach a Gaussian target, and more steps bring them nearer") {
    for (const Case& c : cases()) {
        const double few = error_of(c.sampler, c.config, 10), more = error_of(c.sampler, c.config, 40),
                     many = error_of(c.sampler, c.config, 200);
        INFO(c.sampler << ", prediction " << static_cast<int>(c.config.prediction) << ": errors " << few << ", " << more << ", "
                       << many);
        CHECK(few > c.least_gain * more);
        CHECK(more > many);
        CHECK(many < c.limit);
    }
}

TEST_CASE("the second order of DPM-Solver++ pays: fewer steps for the same error than DDIM") {
    ScheduleConfig config;
    CHECK(error_of("dpm++2m", config, 20) < error_of("ddim", config, 20));
}
