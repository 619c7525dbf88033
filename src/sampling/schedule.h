// Noise schedules and timestep grids, in the precision of diffusers.
//
// diffusers keeps betas, ᾱ and σ as float32 and derives step coefficients from them in float32. Some of those
// expressions cancel (1 − ᾱ_t/ᾱ_prev, λ_t − λ_s), so the same precision is mirrored here: only then do
// trajectories agree to rounding. Grids follow numpy in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sampling/sampler.h"

namespace t2i {

// ᾱ[t] = Π_{s ≤ t} (1 − β_s), t in [0, train_steps), or as many as the config has trained betas.
[[nodiscard]] std::vector<float> alphas_cumprod(const ScheduleConfig& config);
// σ[t] = √((1 − ᾱ[t]) / ᾱ[t]), the noise level of the variance-exploding view (Karras et al. 2022).
[[nodiscard]] std::vector<float> sigmas_of(std::span<const float> alphas_cumprod);
// The σ of a config's schedule; where it ends in no signal at all, the last one is that of ᾱ = 2^-24, as in diffusers.
[[nodiscard]] std::vector<float> training_sigmas(const ScheduleConfig& config);

// numpy.linspace(first, last, count).
[[nodiscard]] std::vector<double> linspace(double first, double last, int count);

// Descending timesteps of DDIM, DDPM, PNDM, Heun and the Euler samplers; Heun and Euler leave linspace unrounded (as float32).
[[nodiscard]] std::vector<double> timestep_grid(const ScheduleConfig& config, int steps, bool round_linspace);
// Descending timesteps of the DPM-Solver family on a schedule of the first `last` timesteps: one more point is laid out and the
// last one dropped. Fewer than `steps` where spacing is trailing and the schedule was shortened.
[[nodiscard]] std::vector<double> dpm_timestep_grid(const ScheduleConfig& config, int steps, int last);

// Linear interpolation of training σ at a timestep, clamped at both ends (numpy.interp).
[[nodiscard]] double sigma_at(std::span<const float> training_sigmas, double timestep);
// The timestep whose σ is `sigma`, by interpolation of ln σ (diffusers' _sigma_to_t).
[[nodiscard]] double timestep_of(std::span<const float> training_sigmas, double sigma);
// `count` noise levels from sigma_max down to sigma_min: Karras et al. 2022, eq. 5 with ρ = 7; at equal distances of λ = ln σ
// (exponential; lu takes the logarithms in float32); at the quantiles of a Beta(0.6, 0.6) distribution (arXiv 2407.12173).
// schedule: not discrete.
[[nodiscard]] std::vector<double> spaced_sigmas(SigmaSchedule schedule, double sigma_max, double sigma_min, int count);
// The same with the ends that the config names.
[[nodiscard]] std::vector<double> spaced_sigmas(const ScheduleConfig& config, double sigma_max, double sigma_min, int count);
// x whose regularized incomplete beta function I_x(a, b) is p; a and b below 2, p in [0, 1].
[[nodiscard]] double beta_quantile(double p, double a, double b);
// SNR shift of flow matching: s·σ / (1 + (s − 1)·σ) (Esser et al. 2024, section 5.3.2).
[[nodiscard]] double shift_sigma(double sigma, double shift);

// Sums over x and the model's output, for x = α·x0 + σ·ε. Flow velocity is v = ε − x0 with α = 1 − σ.
struct FromModel {
    double x = 0.0, model = 0.0;
};
// Throws Error{invalid_argument} where no signal is left (α = 0) and the model predicts ε.
[[nodiscard]] FromModel data_of(Prediction prediction, double alpha, double sigma);
[[nodiscard]] FromModel noise_of(Prediction prediction, double alpha, double sigma);
// The level of ᾱ: √ᾱ x0 + √(1 − ᾱ) ε.
[[nodiscard]] NoiseMix noise_mix(float alpha_cumprod);
// For a plan all of whose steps stand for themselves: those before `first` go.
[[nodiscard]] SamplerPlan begun_at(SamplerPlan plan, std::size_t first);
// The step keeps the data prediction, limited as the config says.
void keep_data(SamplerStep& step, const ScheduleConfig& config, double alpha, double sigma);
// The step keeps ε: the model's own, or what a limited data prediction leaves, (x − α·x0)/σ.
void keep_noise(SamplerStep& step, const ScheduleConfig& config, double alpha, double sigma);

// Throws Error{invalid_argument} unless 1 ≤ steps ≤ train_steps.
void check_steps(const ScheduleConfig& config, int steps);
// Index of a timestep; throws Error{invalid_argument} where steps_offset moves it past the schedule.
[[nodiscard]] std::size_t index_of(const ScheduleConfig& config, double timestep);
// Throws Error{invalid_argument} when the config asks for something that the sampler called `name` does not have.
struct SamplerAbilities {
    bool sigma_schedules = false, lu = false, flow_sigmas = false, flow_prediction = false;
};
void check_abilities(const ScheduleConfig& config, const char* name, SamplerAbilities abilities);

}  // namespace t2i
