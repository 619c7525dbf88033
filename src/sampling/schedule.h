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

// ᾱ[t] = Π_{s ≤ t} (1 − β_s), t in [0, train_steps).
[[nodiscard]] std::vector<float> alphas_cumprod(const ScheduleConfig& config);
// σ[t] = √((1 − ᾱ[t]) / ᾱ[t]), the noise level of the variance-exploding view (Karras et al. 2022).
[[nodiscard]] std::vector<float> sigmas_of(std::span<const float> alphas_cumprod);

// numpy.linspace(first, last, count).
[[nodiscard]] std::vector<double> linspace(double first, double last, int count);

// Descending timesteps of DDIM, DDPM and the Euler samplers; Euler leaves linspace unrounded (as float32).
[[nodiscard]] std::vector<double> timestep_grid(const ScheduleConfig& config, int steps, bool round_linspace);
// Descending timesteps of DPM-Solver++: one more point is laid out and the last one dropped.
[[nodiscard]] std::vector<double> dpm_timestep_grid(const ScheduleConfig& config, int steps);

// Linear interpolation of training σ at a timestep, clamped at both ends (numpy.interp).
[[nodiscard]] double sigma_at(std::span<const float> training_sigmas, double timestep);
// The timestep whose σ is `sigma`, by interpolation of ln σ (diffusers' _sigma_to_t).
[[nodiscard]] double timestep_of(std::span<const float> training_sigmas, double sigma);
// `count` noise levels from sigma_max down to sigma_min, Karras et al. 2022, eq. 5 with ρ = 7.
[[nodiscard]] std::vector<double> karras_sigmas(double sigma_max, double sigma_min, int count);
// SNR shift of flow matching: s·σ / (1 + (s − 1)·σ) (Esser et al. 2024, section 5.3.2).
[[nodiscard]] double shift_sigma(double sigma, double shift);

// Sets x0_from_x and x0_from_model for x = α·x0 + σ·ε. Flow velocity is v = ε − x0 with α = 1 − σ.
void set_data_prediction(SamplerStep& step, Prediction prediction, double alpha, double sigma);

// Throws Error{invalid_argument} unless 1 ≤ steps ≤ train_steps.
void check_steps(const ScheduleConfig& config, int steps);
// Throws Error{invalid_argument} when the config asks for something that the sampler called `name` does not have.
struct SamplerAbilities {
    bool karras = false, flow_sigmas = false, flow_prediction = false;
};
void check_abilities(const ScheduleConfig& config, const char* name, SamplerAbilities abilities);

}  // namespace t2i
