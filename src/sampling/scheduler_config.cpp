// scheduler_config.json → ScheduleConfig. An option that would change the picture and is not implemented is
// an error; keys that the class does not know are ignored, as in diffusers.
#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "core/json_options.h"
#include "core/nearest.h"
#include "sampling/sampler.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// Options that are not implemented must be off.
void reject_true(const JsonOptions& in, std::initializer_list<const char*> keys) {
    for (const char* key : keys)
        if (in.flag(key, false)) throw Error(ErrorCode::input, in_quotes(key) + ": true is not supported", in.where());
}
void reject_present(const JsonOptions& in, std::initializer_list<const char*> keys) {
    for (const char* key : keys)
        if (in.has(key)) throw in.error(key, "is not supported");
}

constexpr int max_train_steps = 100'000;  // bounds the tables that a hostile file can ask for

void read_prediction(const JsonOptions& in, ScheduleConfig& config, bool allows_flow) {
    const std::string text = allows_flow
                                 ? in.text("prediction_type", "epsilon", {"epsilon", "v_prediction", "sample", "flow_prediction"})
                                 : in.text("prediction_type", "epsilon", {"epsilon", "v_prediction", "sample"});
    config.prediction = text == "epsilon"        ? Prediction::epsilon
                        : text == "v_prediction" ? Prediction::v_prediction
                        : text == "sample"       ? Prediction::sample
                                                 : Prediction::flow;
}

// What all classes but flow matching share.
void read_betas(const JsonOptions& in, ScheduleConfig& config) {
    config.beta_start = in.number("beta_start", config.beta_start, 1e-8, 0.5);
    config.beta_end = in.number("beta_end", config.beta_end, config.beta_start, 0.5);
    config.beta_schedule = in.text("beta_schedule", config.beta_schedule, {"linear", "scaled_linear"});
    config.timestep_spacing = in.text("timestep_spacing", config.timestep_spacing, {"linspace", "leading", "trailing"});
    config.steps_offset = static_cast<int>(in.integer("steps_offset", config.steps_offset, 0, config.train_steps));
    reject_true(in, {"rescale_betas_zero_snr"});
    reject_present(in, {"trained_betas"});
}

// DDIM and DDPM clip x0 to ±1 unless told not to, which suits pictures but ruins latents.
void reject_clipping(const JsonOptions& in, const ScheduleConfig& config) {
    reject_true(in, {"thresholding", "clip_sample"});
    if (!in.has("clip_sample")) {
        throw Error(
            ErrorCode::input,
            "\"clip_sample\" is absent, and the default of " + config.class_name + ", true, is not supported; set it to false",
            in.where());
    }
}

void read_ddim(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    reject_clipping(in, config);
    config.set_alpha_to_one = in.flag("set_alpha_to_one", config.set_alpha_to_one);
}

void read_ddpm(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    reject_clipping(in, config);
    config.variance_type = in.text("variance_type", config.variance_type, {"fixed_small", "fixed_small_log", "fixed_large"});
}

// Clipping λ shortens the grid only where the schedule reaches below the bound.
void check_lambda_clip(const JsonOptions& in, const ScheduleConfig& config) {
    constexpr const char* key = "lambda_min_clipped";
    if (!in.has(key) || *in.find(key) == "-Infinity") return;
    const double bound = in.number(key, {}, -1e30, 1e30);
    const double least_lambda = -std::log(static_cast<double>(sigmas_of(alphas_cumprod(config)).back()));
    if (bound > least_lambda) throw in.error(key, "above the schedule's smallest log-SNR is not supported");
}

void read_dpmsolver(const JsonOptions& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/true);
    reject_true(in, {"thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_dynamic_shifting"});
    reject_present(in, {"variance_type"});
    config.solver_order = static_cast<int>(in.integer("solver_order", config.solver_order, 1, 3));
    if (config.solver_order == 3) throw Error(ErrorCode::input, "\"solver_order\" 3 is not supported (1, 2)", in.where());
    config.algorithm_type = in.text("algorithm_type", config.algorithm_type, {"dpmsolver++", "sde-dpmsolver++"});
    config.solver_type = in.text("solver_type", config.solver_type, {"midpoint", "heun", "logrho", "bh1", "bh2"});
    if (config.solver_type != "heun") config.solver_type = "midpoint";  // diffusers reads the other names so
    config.lower_order_final = in.flag("lower_order_final", config.lower_order_final);
    config.euler_at_final = in.flag("euler_at_final", config.euler_at_final);
    config.karras_sigmas = in.flag("use_karras_sigmas", config.karras_sigmas);
    config.flow_sigmas = in.flag("use_flow_sigmas", config.flow_sigmas);
    config.flow_shift = in.number("flow_shift", config.flow_shift, 1e-3, 1e3);
    config.final_sigmas_type = in.text("final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
    if (config.karras_sigmas && config.flow_sigmas)
        throw Error(ErrorCode::input, "\"use_karras_sigmas\" and \"use_flow_sigmas\" exclude each other", in.where());
    if (config.prediction == Prediction::flow && !config.flow_sigmas) {
        throw Error(ErrorCode::input, "\"prediction_type\" flow_prediction needs \"use_flow_sigmas\": true", in.where());
    }
    check_lambda_clip(in, config);
}

void read_euler(const JsonOptions& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    reject_true(in, {"use_exponential_sigmas", "use_beta_sigmas"});
    reject_present(in, {"sigma_min", "sigma_max"});
    config.karras_sigmas = in.flag("use_karras_sigmas", config.karras_sigmas);
    config.final_sigmas_type = in.text("final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
    static_cast<void>(in.text("interpolation_type", "linear", {"linear"}));
    static_cast<void>(in.text("timestep_type", "discrete", {"discrete"}));
}

void read_euler_ancestral(const JsonOptions& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
}

void read_flow_euler(const JsonOptions& in, ScheduleConfig& config) {
    config.prediction = Prediction::flow;
    config.flow_sigmas = true;
    config.flow_shift = in.number("shift", config.flow_shift, 1e-3, 1e3);
    reject_true(in, {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                     "stochastic_sampling"});
    reject_present(in, {"shift_terminal"});
}

struct ClassRow {
    const char* name;
    void (*read)(const JsonOptions&, ScheduleConfig&);
};
constexpr std::array<ClassRow, 6> classes{{
    {"DPMSolverMultistepScheduler", read_dpmsolver},
    {"DDIMScheduler", read_ddim},
    {"DDPMScheduler", read_ddpm},
    {"EulerDiscreteScheduler", read_euler},
    {"EulerAncestralDiscreteScheduler", read_euler_ancestral},
    {"FlowMatchEulerDiscreteScheduler", read_flow_euler},
}};

}  // namespace

ScheduleConfig parse_schedule_config(const std::string& json, const std::string& where) {
    const JsonOptions in = JsonOptions::parse(json, where);
    if (!in.has("_class_name")) throw in.error("_class_name", "is missing");
    ScheduleConfig config;
    config.class_name = in.text("_class_name", {});
    const auto row = std::find_if(classes.begin(), classes.end(), [&](const ClassRow& r) { return r.name == config.class_name; });
    if (row == classes.end()) {
        std::string list;
        for (const ClassRow& r : classes) list += (list.empty() ? "" : ", ") + std::string(r.name);
        throw Error(ErrorCode::input, "the scheduler class " + in_quotes(config.class_name) + " is not supported (" + list + ")",
                    in.where());
    }
    config.train_steps = static_cast<int>(in.integer("num_train_timesteps", config.train_steps, 1, max_train_steps));
    row->read(in, config);
    return config;
}

}  // namespace t2i
