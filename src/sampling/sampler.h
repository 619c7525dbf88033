// A sampler turns a noise schedule and a number of steps into coefficients; the loop that executes them knows no names.
//
// Every step reads the model at `timestep` on model_scale · x and goes through four sums, of which most samplers need the
// second and the last:
//     x0    = x0_from_x · x + x0_from_model · model           the data prediction, which `limit` may clip, and where it does
//     kept  = kept_from_x · x + kept_from_x0 · x0             (else x0 itself): the newest of the history
//     saved = Σ of the old saved, x, the history and the noise before: a state that later steps start from (where `saves`)
//     x'    = Σ of x, the model's output, saved, the history (k = 0: this step's) and fresh normal noise
// A solver that is written in ε keeps ε instead of x0: without a limit the first sum is it. The corrector of UniPC and SA-Solver
// is the sum of `saved`, and so is where a step of several evaluations began (Heun, single-step DPM-Solver, Runge-Kutta).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace t2i {

class JsonOptions;

enum class Prediction : std::uint8_t { epsilon, v_prediction, sample, flow };

// How the noise levels of a run are laid out: by timesteps, or between the schedule's largest and smallest σ (or λ = ln σ).
enum class SigmaSchedule : std::uint8_t { discrete, karras, lu, exponential, beta };

// What becomes of a data prediction before it is used.
struct PredictionLimit {
    double range = 0.0;  // |x0| at most; 0: no limit
    // Dynamic thresholding (Saharia et al. 2022, section 2.3): the range is this quantile of a picture's |x0|, between 1 and
    // `range`, and x0 is divided by it. 0: `range` itself, and no division.
    double quantile = 0.0;
    bool operator==(const PredictionLimit&) const = default;
};

// What scheduler_config.json says, with the defaults of its class filled in; command-line overrides are applied on top.
struct ScheduleConfig {
    std::string class_name;  // "DDIMScheduler", …
    int train_steps = 1000;
    double beta_start = 1e-4, beta_end = 0.02;
    std::string beta_schedule = "linear";  // linear, scaled_linear, squaredcos_cap_v2, sigmoid, laplace, exp
    std::vector<float> trained_betas{};    // instead of the schedule where there are any: at least train_steps
    bool zero_snr = false;                 // rescale_betas_zero_snr
    Prediction prediction = Prediction::epsilon;
    std::string timestep_spacing = "linspace";  // linspace, leading, trailing
    int steps_offset = 0;
    bool set_alpha_to_one = true;            // DDIM, LCM, PNDM
    std::string final_sigmas_type = "zero";  // zero, sigma_min
    SigmaSchedule sigma_schedule = SigmaSchedule::discrete;
    bool flow_sigmas = false;
    double flow_shift = 1.0;                         // of flow σ ("shift" of flow-matching Euler)
    std::optional<double> sigma_min{}, sigma_max{};  // ends of the karras, exponential and beta schedules
    bool log_linear = false, continuous = false;     // Euler: interpolation_type, timestep_type
    int solver_order = 2;                            // SA-Solver: of the predictor
    int corrector_order = 2;                         // SA-Solver
    std::string algorithm_type = "dpmsolver++";      // dpmsolver++, sde-dpmsolver++, dpmsolver, sde-dpmsolver
    std::string solver_type = "midpoint";            // midpoint, heun; UniPC: bh1, bh2
    bool lower_order_final = true, euler_at_final = false;
    double lambda_min_clipped = -std::numeric_limits<double>::infinity();  // the grid begins where λ is above
    bool predict_x0 = true;                                                // UniPC, SA-Solver: else the solver is written in ε
    std::vector<int> disable_corrector{};                                  // UniPC: steps without
    PredictionLimit limit{};                                               // clip_sample, thresholding
    double eta = 0.0;                                                      // DDIM
    std::string variance_type = "fixed_small";                             // DDPM
    bool skip_prk_steps = false;                                           // PNDM
    int original_steps = 50;                                               // LCM: original_inference_steps
    double timestep_scaling = 10.0;                                        // LCM
};

// x = signal·x0 + noise·ε: what noise makes of a picture (diffusers: add_noise, scale_noise).
struct NoiseMix {
    double signal = 1.0, noise = 0.0;
    bool operator==(const NoiseMix&) const = default;
};

struct SamplerStep {
    double timestep = 0.0;  // as the model receives it
    double model_scale = 1.0;
    NoiseMix begins_at{};  // the level of a picture that a run begins with, or goes on with, at this step
    double x0_from_x = 0.0, x0_from_model = 0.0;
    PredictionLimit limit{};
    double kept_from_x = 0.0, kept_from_x0 = 1.0;  // count with a limit alone
    bool saves = false;
    double saved_from_saved = 0.0, saved_from_x = 0.0;
    std::vector<double> saved_from_x0{};  // newest first, as from_x0
    double saved_from_noise = 0.0;        // the noise of the last step that drew any
    double from_x = 0.0, from_model = 0.0, from_saved = 0.0;
    std::vector<double> from_x0{};  // newest first
    double from_noise = 0.0;
    // Of a model that predicts the variance v: the noise is also multiplied by exp(variance_slope · v), element by element.
    double variance_slope = 0.0;
    bool draws_noise = false;  // a draw is made even where from_noise is 0 (the reference consumes it)
    bool operator==(const SamplerStep&) const = default;
};

struct SamplerPlan {
    double initial_scale = 1.0;        // of the starting noise (init_noise_sigma)
    bool reads_variance = false;       // the model must predict it
    bool noise_for_all_rows = false;   // with guidance the reference draws noise for twice the pictures and uses the first half
    bool begins_with_picture = false;  // noised to steps.front().begins_at, in place of noise alone
    bool has_mask = false;             // outside of it each step ends in the picture itself, at the next step's level
    std::vector<SamplerStep> steps;    // one a model evaluation
    bool operator==(const SamplerPlan&) const = default;
};

class Sampler {
  public:
    virtual ~Sampler() = default;
    // The steps from `first` (of 0 to steps - 1) on: a solver that looks back begins there without a history, as in diffusers
    // (set_begin_index). Throws Error{invalid_argument} when steps is outside [1, train_steps], or more or fewer than the sampler
    // can do, where it cannot begin in the middle, and where the config asks for what the sampler has not.
    [[nodiscard]] virtual SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const = 0;
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps) const { return plan(config, steps, 0); }
};

// An option that a sampler's name says, as scheduler_config.json writes it.
struct NamedOption {
    const char* key;
    const char* json;
};

struct SamplerRow {
    std::string name;        // as on the command line: "ddim", "dpm++2m", …
    std::string class_name;  // the diffusers class whose config selects it
    std::string description;
    std::unique_ptr<Sampler> (*make)();
    std::vector<NamedOption> options{};  // what the name says beyond the class
    bool samples_flow = false;           // also models that predict a flow
    bool returns_x0 = false;             // diffusers' step returns the data prediction, too
};
// All samplers, in the order that a list of them shows.
[[nodiscard]] const std::vector<SamplerRow>& samplers();
// The row of a name; throws Error{invalid_argument} naming the nearest when there is none.
[[nodiscard]] const SamplerRow& sampler_by_name(const std::string& name);
// The row that a schedule config selects (its class, and where several have it what their names say).
[[nodiscard]] const SamplerRow& sampler_for(const ScheduleConfig& config);
// The plan of the sampler that the config selects. Throws as Sampler::plan, and Error{invalid_argument} where a step would not be
// finite.
[[nodiscard]] SamplerPlan plan_steps(const ScheduleConfig& config, int steps, int first = 0);
// Of `steps`, the first that is done where a picture is noised by `strength`, from 0 to 1: of diffusers' pipelines, those of
// Stable Diffusion, or for a flow those of Stable Diffusion 3 and FLUX, which round the other way. Throws Error{invalid_argument}
// about the field strength where none is left.
[[nodiscard]] int first_step(int steps, double strength, Prediction prediction);
// The same where the picture is the data prediction of the last step (PixArt-alpha at one step), as far as the class has one.
void end_in_x0(SamplerPlan& plan, const ScheduleConfig& config);

// Reads scheduler_config.json. Throws Error{input} naming the file on a class, or an option that the class would use, that is not
// supported. Keys that the class does not know are ignored, and those in "_use_default_values" count as absent, as in diffusers.
[[nodiscard]] ScheduleConfig read_schedule(const JsonOptions& file);
// The same for another sampler (GenerateRequest::sampler) than the file's own, which need not be known: a key that is present is
// carried over, an absent one takes the default of the sampler's class (diffusers' from_config), with two exceptions: a
// clip_sample that the file's class has not is false, since latents are not clipped, and an algorithm that the class does not
// know is its default one. On a flow-matching config "euler" and "ddim" mean flow_euler and "euler_a" flow_euler_a; a sampler
// without a flow form throws Error{invalid_argument} saying which ones fit.
[[nodiscard]] ScheduleConfig read_schedule(const JsonOptions& file, const std::string& sampler);
// The first of them from the file's text, read as one of `class_name`, as model_index.json has it; empty: of the class that it
// names itself. `where` names it in errors.
[[nodiscard]] ScheduleConfig parse_schedule_config(const std::string& json, const std::string& where,
                                                   const std::string& class_name = {});

// Other programs' names for a sampler and the schedule that belongs to it, as ours: "DPM++ 2M Karras" (AUTOMATIC1111) becomes
// "dpm++2m" and "karras", "Euler a", "k_euler_a" and "EulerAncestralDiscreteScheduler" become "euler_a"; a schedule "Automatic"
// is the model's own, "". Names that nobody has stay as they are, for those who look them up to refuse. True when the schedule
// came with the sampler's name. Throws Error{invalid_argument} about the field sampler when that is another than `scheduler`.
bool translate_sampler(std::string& sampler, std::string& scheduler);
// The names that GenerateRequest::scheduler can have.
[[nodiscard]] const std::vector<std::string>& schedules();
// Applies GenerateRequest::scheduler to a config; throws Error{invalid_argument} for another name.
void override_scheduler(ScheduleConfig& config, const std::string& name);

}  // namespace t2i
