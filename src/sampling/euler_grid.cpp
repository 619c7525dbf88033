#include "sampling/euler_grid.h"

#include <algorithm>
#include <cmath>

#include "sampling/schedule.h"

namespace t2i {

EulerGrid euler_grid(const ScheduleConfig& config, int steps) {
    const auto training = training_sigmas(config);
    EulerGrid grid;
    grid.timesteps = timestep_grid(config, steps, /*round_linspace=*/false);
    std::vector<double> sigmas;
    if (config.log_linear) {
        for (const double s : linspace(std::log(training.back()), std::log(training.front()), steps + 1))
            sigmas.push_back(std::exp(static_cast<float>(s)));
    } else {
        for (const double t : grid.timesteps) sigmas.push_back(sigma_at(training, t));
    }
    if (config.sigma_schedule != SigmaSchedule::discrete) {
        sigmas = spaced_sigmas(config, sigmas.front(), sigmas.back(), steps);
        for (std::size_t i = 0; i < sigmas.size(); ++i) {
            grid.timesteps[i] = static_cast<float>(timestep_of(training, sigmas[i]));
        }
    }
    // log_linear has laid out the level after the last, too.
    if (sigmas.size() == grid.timesteps.size())
        sigmas.push_back(config.final_sigmas_type == "zero" ? 0.0 : static_cast<double>(training.front()));
    for (const double s : sigmas) grid.sigmas.push_back(static_cast<float>(s));
    if (config.continuous)
        for (std::size_t i = 0; i < grid.timesteps.size(); ++i) grid.timesteps[i] = 0.25F * std::log(grid.sigmas[i]);
    const float largest = *std::max_element(grid.sigmas.begin(), grid.sigmas.end());
    // init_noise_sigma: the other spacings reach (nearly) the end of training, where x is noise alone.
    grid.initial_scale = config.timestep_spacing == "leading" ? std::sqrt(largest * largest + 1.0F) : largest;
    return grid;
}

SamplerStep euler_step(const ScheduleConfig& config, double timestep, double sigma) {
    const double size = std::sqrt(sigma * sigma + 1.0);
    SamplerStep s{.timestep = timestep, .model_scale = 1.0 / size, .begins_at = {.signal = 1.0, .noise = sigma}};
    // In the variance-preserving view x/size = α·x0 + s·ε with α = 1/size and s = σ/size.
    keep_data(s, config, 1.0 / size, sigma / size);
    s.x0_from_x /= size;
    return s;
}

}  // namespace t2i
