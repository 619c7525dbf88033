// A sampler turns a noise schedule and a number of steps into coefficients; the loop that executes them knows no names.
//
// Every step reads the model at `timestep` on model_scale · x, forms the data prediction
//     x0 = x0_from_x · x + x0_from_model · model
// keeps it as the newest of the history, and moves to
//     x' = from_x · x + Σ_k from_x0[k] · x0 of k steps ago (k = 0: this one) + from_noise · fresh normal noise.
// DDIM, DDPM, Euler, Euler ancestral, flow-matching Euler and DPM-Solver++ (also SDE) are all of this form.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace t2i {

enum class Prediction : std::uint8_t { epsilon, v_prediction, sample, flow };

// What scheduler_config.json says, with the defaults of its class filled in; command-line overrides are applied on top.
struct ScheduleConfig {
    std::string class_name;  // "DDIMScheduler", …
    int train_steps = 1000;
    double beta_start = 1e-4, beta_end = 0.02;
    std::string beta_schedule = "linear";  // linear, scaled_linear
    Prediction prediction = Prediction::epsilon;
    std::string timestep_spacing = "linspace";  // linspace, leading, trailing
    int steps_offset = 0;
    bool set_alpha_to_one = true;            // DDIM
    std::string final_sigmas_type = "zero";  // zero, sigma_min
    bool karras_sigmas = false, flow_sigmas = false;
    double flow_shift = 1.0;  // DPM-Solver++ and flow-matching Euler ("shift" there)
    int solver_order = 2;
    std::string algorithm_type = "dpmsolver++";  // dpmsolver++, sde-dpmsolver++
    std::string solver_type = "midpoint";        // midpoint, heun
    bool lower_order_final = true, euler_at_final = false;
    double eta = 0.0;                           // DDIM
    std::string variance_type = "fixed_small";  // DDPM
};

struct SamplerStep {
    double timestep = 0.0;  // as the model receives it
    double model_scale = 1.0;
    double x0_from_x = 0.0, x0_from_model = 0.0;
    double from_x = 0.0;
    std::vector<double> from_x0{};  // newest first
    double from_noise = 0.0;
    bool draws_noise = false;  // a draw is made even where from_noise is 0 (the reference consumes it)
    bool operator==(const SamplerStep&) const = default;
};

struct SamplerPlan {
    double initial_scale = 1.0;  // of the starting noise (init_noise_sigma)
    std::vector<SamplerStep> steps;
    bool operator==(const SamplerPlan&) const = default;
};

// Reads scheduler_config.json (its text); `where` names it in errors. Throws Error{input} on a class, beta schedule,
// prediction type or option that is not supported, naming it.
[[nodiscard]] ScheduleConfig parse_schedule_config(const std::string& json, const std::string& where);

class Sampler {
  public:
    virtual ~Sampler() = default;
    // Throws Error{invalid_argument} when steps is outside [1, train_steps].
    [[nodiscard]] virtual SamplerPlan plan(const ScheduleConfig& config, int steps) const = 0;
};

struct SamplerRow {
    std::string name;        // as on the command line: "ddim", "dpm++2m", …
    std::string class_name;  // the diffusers class whose config selects it
    std::string description;
    std::unique_ptr<Sampler> (*make)();
};
// All samplers, in the order that a list of them shows.
[[nodiscard]] const std::vector<SamplerRow>& samplers();
// The row of a name; throws Error{invalid_argument} naming the nearest when there is none.
[[nodiscard]] const SamplerRow& sampler_by_name(const std::string& name);
// The row that a schedule config selects (its class and algorithm type).
[[nodiscard]] const SamplerRow& sampler_for(const ScheduleConfig& config);
// Applies GenerateRequest::sampler: the config keeps its betas, prediction and spacing and gets the row's class and
// algorithm. On a flow-matching config "euler" and "ddim" mean flow_euler and "euler_a" flow_euler_a; a sampler without a flow
// form throws Error{invalid_argument} saying which ones fit.
void override_sampler(ScheduleConfig& config, const std::string& name);
// Other programs' names for a sampler and the schedule that belongs to it, as ours: "DPM++ 2M Karras" (AUTOMATIC1111) becomes
// "dpm++2m" and "karras", "Euler a", "k_euler_a" and "EulerAncestralDiscreteScheduler" become "euler_a"; a schedule "Automatic"
// is the model's own, "". Names that nobody has stay as they are, for those who look them up to refuse. True when the schedule
// came with the sampler's name. Throws Error{invalid_argument} about the field sampler when that is another than `scheduler`.
bool translate_sampler(std::string& sampler, std::string& scheduler);
// Applies GenerateRequest::scheduler (discrete, karras, flow) to a config; throws Error{invalid_argument} for another name.
void override_scheduler(ScheduleConfig& config, const std::string& name);

}  // namespace t2i
