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

using Json = nlohmann::ordered_json;

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

void read_trained_betas(const JsonOptions& in, ScheduleConfig& config) {
    constexpr const char* key = "trained_betas";
    if (!in.has(key)) return;
    const std::vector<double> betas = in.numbers(key, 0.0, 0.999'999);
    if (betas.size() < static_cast<std::size_t>(config.train_steps) || betas.size() > max_train_steps)
        throw in.error(
            key, "holds " + std::to_string(betas.size()) + " values for " + std::to_string(config.train_steps) + " timesteps");
    for (const double b : betas) config.trained_betas.push_back(static_cast<float>(b));
    // Diffusers would fail or draw noise without any at all.
    if (std::ranges::all_of(config.trained_betas, [](float b) { return b == 0.0F; })) throw in.error(key, "are all 0");
}

// What all classes but flow matching share. extra: a beta schedule that the class alone has.
void read_betas(const JsonOptions& in, ScheduleConfig& config, std::initializer_list<const char*> extra = {}) {
    std::vector<std::string> schedules{"linear", "scaled_linear", "squaredcos_cap_v2"};
    schedules.insert(schedules.end(), extra.begin(), extra.end());
    config.beta_start = in.number("beta_start", config.beta_start, 1e-8, 0.5);
    config.beta_end = in.number("beta_end", config.beta_end, config.beta_start, 0.5);
    config.beta_schedule = in.text("beta_schedule", config.beta_schedule, schedules);
    read_trained_betas(in, config);
}

void read_spacing(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = in.text("timestep_spacing", config.timestep_spacing, {"linspace", "leading", "trailing"});
    config.steps_offset = static_cast<int>(in.integer("steps_offset", config.steps_offset, 0, config.train_steps));
}

void read_zero_snr(const JsonOptions& in, ScheduleConfig& config) {
    config.zero_snr = in.flag("rescale_betas_zero_snr", false);
}

void read_clipping(const JsonOptions& in, ScheduleConfig& config, bool fallback) {
    if (in.flag("clip_sample", fallback)) config.limit.range = in.number("clip_sample_range", 1.0, 1e-3, 1e6);
}

// Before clipping, which it replaces.
void read_thresholding(const JsonOptions& in, ScheduleConfig& config) {
    if (!in.flag("thresholding", false)) return;
    config.limit.quantile = in.number("dynamic_thresholding_ratio", 0.995, 1e-6, 1.0);
    config.limit.range = in.number("sample_max_value", 1.0, 1e-3, 1e6);
}

// Karras, exponential and beta σ exclude each other.
void read_sigma_schedule(const JsonOptions& in, ScheduleConfig& config, bool has_lu) {
    struct Row {
        const char* key;
        SigmaSchedule schedule;
    };
    constexpr std::array rows{Row{"use_karras_sigmas", SigmaSchedule::karras},
                              Row{"use_exponential_sigmas", SigmaSchedule::exponential},
                              Row{"use_beta_sigmas", SigmaSchedule::beta}};
    const char* chosen = nullptr;
    for (const Row& row : rows) {
        if (!in.flag(row.key, false)) continue;
        if (chosen != nullptr)
            throw Error(ErrorCode::input, in_quotes(chosen) + " and " + in_quotes(row.key) + " exclude each other", in.where());
        chosen = row.key;
        config.sigma_schedule = row.schedule;
    }
    if (has_lu && in.flag("use_lu_lambdas", false) && config.sigma_schedule != SigmaSchedule::karras)
        config.sigma_schedule = SigmaSchedule::lu;  // diffusers asks for it after karras, before the others
    constexpr double most = 1e5;
    if (in.has("sigma_min")) config.sigma_min = in.number("sigma_min", {}, 1e-5, most);
    if (in.has("sigma_max")) config.sigma_max = in.number("sigma_max", {}, config.sigma_min.value_or(1e-5), most);
}

void read_flow_sigmas(const JsonOptions& in, ScheduleConfig& config) {
    config.flow_sigmas = in.flag("use_flow_sigmas", config.flow_sigmas);
    config.flow_shift = in.number("flow_shift", config.flow_shift, 1e-3, 1e3);
    if (config.sigma_schedule != SigmaSchedule::discrete && config.flow_sigmas) {
        const char* key = config.sigma_schedule == SigmaSchedule::karras        ? "use_karras_sigmas"
                          : config.sigma_schedule == SigmaSchedule::exponential ? "use_exponential_sigmas"
                          : config.sigma_schedule == SigmaSchedule::beta        ? "use_beta_sigmas"
                                                                                : "use_lu_lambdas";
        throw Error(ErrorCode::input, in_quotes(key) + " and \"use_flow_sigmas\" exclude each other", in.where());
    }
    if (config.prediction == Prediction::flow && !config.flow_sigmas) {
        throw Error(ErrorCode::input, "\"prediction_type\" flow_prediction needs \"use_flow_sigmas\": true", in.where());
    }
}

void read_final_sigma(const JsonOptions& in, ScheduleConfig& config) {
    config.final_sigmas_type = in.text("final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
}

void read_lambda_clip(const JsonOptions& in, ScheduleConfig& config) {
    constexpr const char* key = "lambda_min_clipped";
    if (in.has(key) && *in.find(key) != "-Infinity") config.lambda_min_clipped = in.number(key, {}, -1e30, 1e3);
}

// These would take all but three channels off the model's output, which latents have more of.
void reject_learned_variance(const JsonOptions& in, const ScheduleConfig& config) {
    const std::string type = in.text("variance_type", {});
    if (config.prediction == Prediction::epsilon && (type == "learned" || type == "learned_range"))
        throw in.error("variance_type", "is " + in_quotes(type) + ", which is not supported for latents");
}

void read_ddim(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_spacing(in, config);
    read_zero_snr(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    read_clipping(in, config, true);
    read_thresholding(in, config);
    config.set_alpha_to_one = in.flag("set_alpha_to_one", config.set_alpha_to_one);
}

void read_ddpm(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config, {"sigmoid", "laplace"});
    read_spacing(in, config);
    read_zero_snr(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    read_clipping(in, config, true);
    read_thresholding(in, config);
    config.variance_type =
        in.text("variance_type", config.variance_type,
                {"fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"});
}

// What the solvers of the DPM-Solver family share.
void read_solver(const JsonOptions& in, ScheduleConfig& config, bool has_lu) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/true);
    read_thresholding(in, config);
    read_sigma_schedule(in, config, has_lu);
    read_flow_sigmas(in, config);
    config.lower_order_final = in.flag("lower_order_final", config.lower_order_final);
}

void read_dpm_forms(const JsonOptions& in, ScheduleConfig& config) {
    config.solver_order = static_cast<int>(in.integer("solver_order", config.solver_order, 1, 3));
    // diffusers reads the other solvers' names so.
    config.solver_type = in.text("solver_type", config.solver_type, {"midpoint", "heun", "logrho", "bh1", "bh2"});
    if (config.solver_type != "heun") config.solver_type = "midpoint";
    if (config.algorithm_type == "deis") config.algorithm_type = "dpmsolver++";
    read_final_sigma(in, config);
    if (!config.algorithm_type.ends_with("++") && config.final_sigmas_type == "zero")
        throw Error(ErrorCode::input, "\"algorithm_type\" " + config.algorithm_type + " needs \"final_sigmas_type\" sigma_min",
                    in.where());
    read_lambda_clip(in, config);
    reject_learned_variance(in, config);
}

void read_dpm_multistep(const JsonOptions& in, ScheduleConfig& config) {
    read_solver(in, config, /*has_lu=*/true);
    read_spacing(in, config);
    read_zero_snr(in, config);
    config.algorithm_type = in.text("algorithm_type", config.algorithm_type,
                                    {"dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"});
    read_dpm_forms(in, config);
    config.euler_at_final = in.flag("euler_at_final", config.euler_at_final);
    if (config.algorithm_type == "sde-dpmsolver" && config.solver_order == 3)
        throw in.error("solver_order", "3 is not supported for \"algorithm_type\" sde-dpmsolver");
}

void read_dpm_singlestep(const JsonOptions& in, ScheduleConfig& config) {
    config.lower_order_final = false;
    read_solver(in, config, /*has_lu=*/false);
    config.algorithm_type =
        in.text("algorithm_type", config.algorithm_type, {"dpmsolver++", "sde-dpmsolver++", "dpmsolver", "deis"});
    read_dpm_forms(in, config);
    if (!config.algorithm_type.ends_with("++")) reject_true(in, {"thresholding"});  // diffusers fails
}

void read_unipc(const JsonOptions& in, ScheduleConfig& config) {
    read_solver(in, config, /*has_lu=*/false);
    read_spacing(in, config);
    read_zero_snr(in, config);
    read_final_sigma(in, config);
    reject_true(in, {"use_dynamic_shifting"});
    reject_present(in, {"solver_p", "shift_terminal"});
    constexpr int most = 4;
    config.solver_order = static_cast<int>(in.integer("solver_order", config.solver_order, 1, most));
    config.predict_x0 = in.flag("predict_x0", true);
    if (!config.predict_x0) config.limit = {};  // as in diffusers, where the form in ε has none
    config.solver_type = in.text("solver_type", "bh2", {"bh1", "bh2", "midpoint", "heun", "logrho"});
    if (config.solver_type != "bh1") config.solver_type = "bh2";
    if (in.has("disable_corrector"))
        for (const double step : in.numbers("disable_corrector", 0, max_train_steps))
            config.disable_corrector.push_back(static_cast<int>(step));
}

void read_deis(const JsonOptions& in, ScheduleConfig& config) {
    read_solver(in, config, /*has_lu=*/false);
    read_spacing(in, config);
    config.solver_order = static_cast<int>(in.integer("solver_order", config.solver_order, 1, 3));
    static_cast<void>(in.text("algorithm_type", "deis", {"deis", "dpmsolver", "dpmsolver++"}));
    static_cast<void>(in.text("solver_type", "logrho", {"logrho", "midpoint", "heun", "bh1", "bh2"}));
}

void read_sa_solver(const JsonOptions& in, ScheduleConfig& config) {
    read_solver(in, config, /*has_lu=*/false);
    read_spacing(in, config);
    read_lambda_clip(in, config);
    reject_present(in, {"tau_func"});
    reject_learned_variance(in, config);
    constexpr int most = 4;
    config.solver_order = static_cast<int>(in.integer("predictor_order", 2, 1, most));
    config.corrector_order = static_cast<int>(in.integer("corrector_order", 2, 1, most));
    config.predict_x0 =
        in.text("algorithm_type", "data_prediction", {"data_prediction", "noise_prediction"}) == "data_prediction";
    if (!config.predict_x0) reject_true(in, {"thresholding"});  // diffusers fails
}

void read_euler(const JsonOptions& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_spacing(in, config);
    read_zero_snr(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    read_sigma_schedule(in, config, /*has_lu=*/false);
    read_final_sigma(in, config);
    config.log_linear = in.text("interpolation_type", "linear", {"linear", "log_linear"}) == "log_linear";
    config.continuous = in.text("timestep_type", "discrete", {"discrete", "continuous"}) == "continuous" &&
                        config.prediction == Prediction::v_prediction;
}

void read_euler_ancestral(const JsonOptions& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_spacing(in, config);
    read_zero_snr(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
}

void read_heun(const JsonOptions& in, ScheduleConfig& config) {
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    read_betas(in, config, {"exp"});
    read_spacing(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    read_sigma_schedule(in, config, /*has_lu=*/false);
    read_clipping(in, config, false);
}

void read_pndm(const JsonOptions& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_spacing(in, config);
    const std::string prediction = in.text("prediction_type", "epsilon", {"epsilon", "v_prediction"});
    config.prediction = prediction == "epsilon" ? Prediction::epsilon : Prediction::v_prediction;
    config.set_alpha_to_one = in.flag("set_alpha_to_one", false);
    config.skip_prk_steps = in.flag("skip_prk_steps", false);
}

void read_lcm(const JsonOptions& in, ScheduleConfig& config) {
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    config.beta_schedule = "scaled_linear";
    read_betas(in, config);
    read_zero_snr(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    read_clipping(in, config, false);
    read_thresholding(in, config);
    config.original_steps =
        static_cast<int>(in.integer("original_inference_steps", config.original_steps, 1, config.train_steps));
    config.timestep_scaling = in.number("timestep_scaling", config.timestep_scaling, 0.0, 1e6);
}

void read_flow_euler(const JsonOptions& in, ScheduleConfig& config) {
    config.prediction = Prediction::flow;
    config.flow_sigmas = true;
    config.flow_shift = in.number("shift", config.flow_shift, 1e-3, 1e3);
    reject_true(in, {"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                     "stochastic_sampling"});
    reject_present(in, {"shift_terminal"});
}

// facebook's DiT has no such file: its program samples with one schedule (facebookresearch/DiT, diffusion/__init__.py).
void read_spaced_diffusion(const JsonOptions& in, ScheduleConfig& config) {
    read_prediction(in, config, /*allows_flow=*/false);
}

constexpr std::string_view flow_euler_class = "FlowMatchEulerDiscreteScheduler", flow_euler_a_class = "FlowMatchEulerAncestral";

struct ClassRow {
    std::string_view name;
    void (*read)(const JsonOptions&, ScheduleConfig&);
    bool is_ours = false;   // no diffusers class, so no file's either
    bool is_listed = true;  // among those that a file may name
};
constexpr std::array classes{ClassRow{"SpacedDiffusion", read_spaced_diffusion, false, false},
                             ClassRow{"DPMSolverMultistepScheduler", read_dpm_multistep},
                             ClassRow{"DPMSolverSinglestepScheduler", read_dpm_singlestep},
                             ClassRow{"UniPCMultistepScheduler", read_unipc},
                             ClassRow{"DEISMultistepScheduler", read_deis},
                             ClassRow{"SASolverScheduler", read_sa_solver},
                             ClassRow{"DDIMScheduler", read_ddim},
                             ClassRow{"DDPMScheduler", read_ddpm},
                             ClassRow{"EulerDiscreteScheduler", read_euler},
                             ClassRow{"EulerAncestralDiscreteScheduler", read_euler_ancestral},
                             ClassRow{"HeunDiscreteScheduler", read_heun},
                             ClassRow{"PNDMScheduler", read_pndm},
                             ClassRow{"LCMScheduler", read_lcm},
                             ClassRow{flow_euler_class, read_flow_euler},
                             ClassRow{flow_euler_a_class, read_flow_euler, true}};

// The file without the keys that it says are its class's defaults.
JsonOptions without_defaults(const JsonOptions& file) {
    Json changes = Json::object();
    if (const Json* list = file.find("_use_default_values"); list != nullptr && list->is_array())
        for (const Json& key : *list)
            if (key.is_string()) changes[key.get<std::string>()] = nullptr;
    return file.with(changes);
}

ScheduleConfig read_class(const JsonOptions& in, std::string_view class_name) {
    ScheduleConfig config;
    config.class_name = class_name;
    const auto row = std::ranges::find(classes, class_name, &ClassRow::name);
    config.train_steps = static_cast<int>(in.integer("num_train_timesteps", config.train_steps, 1, max_train_steps));
    row->read(in, config);
    return config;
}

bool is_flow_matching(std::string_view class_name) {
    return class_name.starts_with("FlowMatch");
}

// What a sampler is on a model that predicts a flow. With x_σ = (1 − σ)·x0 + σ·noise, DDIM's step without noise is Euler's.
std::string flow_form(const std::string& name) {
    if (name == "euler" || name == "ddim") return "flow_euler";
    return name == "euler_a" ? "flow_euler_a" : name;
}

const SamplerRow& fitting_sampler(const std::string& name, bool is_flow_model) {
    const SamplerRow& row = sampler_by_name(is_flow_model ? flow_form(name) : name);
    if (is_flow_model && !row.samples_flow) {
        std::string list;
        for (const SamplerRow& other : samplers())
            if (other.samples_flow && !is_flow_matching(other.class_name)) list += other.name + ", ";
        throw Error(ErrorCode::invalid_argument,
                    "this model predicts a flow, which " + row.name + " cannot sample; use " + list + "euler, euler_a or ddim",
                    Field{"sampler"});
    }
    if (!is_flow_model && is_flow_matching(row.class_name)) {
        throw Error(ErrorCode::invalid_argument, row.name + " is for flow-matching models, which this one is not; use euler",
                    Field{"sampler"});
    }
    return row;
}

// The flow of a flow-matching class, as the other classes say it, and the other way round.
void translate_flow(Json& changes, const JsonOptions& in, std::string_view from, std::string_view to) {
    if (is_flow_matching(from) == is_flow_matching(to)) return;
    if (is_flow_matching(to)) {
        changes["shift"] = in.number("flow_shift", 1.0);
        for (const char* key : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_dynamic_shifting"})
            changes[key] = nullptr;
        return;
    }
    changes["prediction_type"] = "flow_prediction";
    changes["use_flow_sigmas"] = true;
    changes["flow_shift"] = in.number("shift", 1.0);
}

// An algorithm that the sampler's class does not know, where its name does not say one.
bool is_foreign_algorithm(const std::string& algorithm, std::string_view class_name) {
    if (class_name == "SASolverScheduler") return algorithm != "data_prediction" && algorithm != "noise_prediction";
    return class_name == "DEISMultistepScheduler" && algorithm != "deis" && algorithm != "dpmsolver" &&
           algorithm != "dpmsolver++";
}

}  // namespace

ScheduleConfig read_schedule(const JsonOptions& file) {
    const JsonOptions in = without_defaults(file);
    if (!in.has("_class_name")) throw in.error("_class_name", "is missing");
    const std::string class_name = in.text("_class_name", {});
    const auto row = std::ranges::find(classes, class_name, &ClassRow::name);
    if (row == classes.end() || row->is_ours) {
        std::string list;
        for (const ClassRow& r : classes)
            if (!r.is_ours && r.is_listed) list += (list.empty() ? "" : ", ") + std::string(r.name);
        throw Error(ErrorCode::input, "the scheduler class " + in_quotes(class_name) + " is not supported (" + list + ")",
                    in.where());
    }
    return read_class(in, class_name);
}

ScheduleConfig read_schedule(const JsonOptions& file, const std::string& sampler) {
    const JsonOptions in = without_defaults(file);
    const std::string own_class = in.text("_class_name", {});
    const bool is_flow_model = is_flow_matching(own_class) || in.text("prediction_type", {}) == "flow_prediction";
    const SamplerRow& row = fitting_sampler(sampler, is_flow_model);
    Json changes = Json::object();
    if (is_flow_model) translate_flow(changes, in, own_class, row.class_name);
    const bool clips_by_default = own_class.starts_with("DDIM") || own_class.starts_with("DDPM");
    if (!in.has("clip_sample") && !clips_by_default) changes["clip_sample"] = false;
    if (is_foreign_algorithm(in.text("algorithm_type", {}), row.class_name)) changes["algorithm_type"] = nullptr;
    for (const NamedOption& option : row.options) changes[option.key] = Json::parse(option.json);
    return read_class(in.with(changes), row.class_name);
}

ScheduleConfig parse_schedule_config(const std::string& json, const std::string& where, const std::string& class_name) {
    const JsonOptions file = JsonOptions::parse(json, where);
    return read_schedule(class_name.empty() ? file.with(Json::object()) : file.with({{"_class_name", class_name}}));
}

}  // namespace t2i
