#include "sampling/solver_grid.h"

#include <algorithm>
#include <cmath>

#include "sampling/schedule.h"

namespace t2i {

namespace {

// Timesteps of the schedule whose λ is at least the config's bound (torch.searchsorted on the ascending λ).
int unclipped_timesteps(const ScheduleConfig& config) {
    if (std::isinf(config.lambda_min_clipped)) return config.train_steps;
    std::vector<float> alphas = alphas_cumprod(config);
    if (config.zero_snr) alphas.back() = 0x1p-24F;
    const auto below = std::ranges::count_if(alphas, [&](float a) {
        return static_cast<double>(std::log(std::sqrt(a)) - std::log(std::sqrt(1.0F - a))) < config.lambda_min_clipped;
    });
    return std::max(config.train_steps - static_cast<int>(below), 1);
}

std::vector<double> flow_levels(const ScheduleConfig& config, int steps, const SolverGridRules& rules) {
    std::vector<double> sigmas;
    const auto grid = linspace(1.0, 1.0 / config.train_steps, steps + 1);
    if (rules.counts_flow_down) {
        for (int i = 0; i < steps; ++i) sigmas.push_back(shift_sigma(grid[static_cast<std::size_t>(i)], config.flow_shift));
        constexpr double hair = 1e-6;  // at σ = 1 there is no signal, and λ would be -∞
        if (std::abs(sigmas.front() - 1.0) < hair) sigmas.front() -= hair;
        return sigmas;
    }
    for (int i = steps; i >= 1; --i) sigmas.push_back(shift_sigma(1.0 - grid[static_cast<std::size_t>(i)], config.flow_shift));
    return sigmas;
}

}  // namespace

NoiseLevel noise_level(float sigma, bool is_flow) {
    const float alpha = is_flow ? 1.0F - sigma : 1.0F / std::sqrt(sigma * sigma + 1.0F);
    const float scaled = is_flow ? sigma : sigma * alpha;
    return {alpha, scaled, std::log(alpha) - std::log(scaled)};
}

SolverGrid solver_grid(const ScheduleConfig& config, int steps, const SolverGridRules& rules) {
    check_steps(config, steps);
    const auto training = training_sigmas(config);
    SolverGrid grid;
    std::vector<double> sigmas;
    bool has_own_levels = true;
    if (config.sigma_schedule != SigmaSchedule::discrete) {
        sigmas = spaced_sigmas(config, training.back(), training.front(), steps);
        const bool is_karras_or_lu = config.sigma_schedule == SigmaSchedule::karras || config.sigma_schedule == SigmaSchedule::lu;
        const bool rounds = is_karras_or_lu && (rules.rounds_on_cosine || config.beta_schedule != "squaredcos_cap_v2");
        for (const double s : sigmas) {
            const double t = timestep_of(training, s);
            grid.timesteps.push_back(rounds ? std::nearbyint(t) : std::trunc(t));  // diffusers stores whole numbers
        }
    } else if (config.flow_sigmas) {
        sigmas = flow_levels(config, steps, rules);
        for (const double s : sigmas) grid.timesteps.push_back(std::trunc(s * config.train_steps));
    } else {
        ScheduleConfig spaced = config;
        if (!rules.has_spacing) spaced.timestep_spacing = "linspace";
        grid.timesteps = dpm_timestep_grid(spaced, steps, rules.has_clipping ? unclipped_timesteps(config) : config.train_steps);
        for (const double t : grid.timesteps) sigmas.push_back(sigma_at(training, t));
        has_own_levels = false;
    }
    if (rules.ends_as_asked && config.final_sigmas_type == "zero") sigmas.push_back(0.0);
    else sigmas.push_back(rules.ends_in_last && has_own_levels ? sigmas.back() : static_cast<double>(training.front()));
    for (const double s : sigmas) grid.levels.push_back(noise_level(static_cast<float>(s), config.flow_sigmas));
    return grid;
}

}  // namespace t2i
