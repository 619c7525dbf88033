// scheduler_config.json → ScheduleConfig. An option that would change the picture and is not implemented is
// an error; keys that the class does not know are ignored, as in diffusers.
#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "core/nearest.h"
#include "sampling/sampler.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

using nlohmann::json;

// Python writes -Infinity, Infinity and NaN, which JSON lacks: they become strings here.
std::string quote_python_numbers(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words{"-Infinity", "Infinity", "NaN"};
    std::string out;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size();) {
        if (in_string && text[i] == '\\') {
            out += text.substr(i, 2);
            i += 2;
            continue;
        }
        in_string ^= text[i] == '"';
        const auto word = in_string ? words.end() : std::find_if(words.begin(), words.end(), [&](std::string_view w) {
            return text.compare(i, w.size(), w) == 0;
        });
        if (word == words.end()) {
            out += text[i++];
            continue;
        }
        out.append("\"").append(*word).append("\"");
        i += word->size();
    }
    return out;
}

class OptionReader {
  public:
    OptionReader(const std::string& text, const std::string& where) : where_(where) {
        if (text.find('\0') != std::string::npos) fail("not valid JSON: contains a NUL byte");
        constexpr int max_depth = 16;
        const auto limit_depth = [this](int depth, json::parse_event_t, json&) {
            if (depth > max_depth) fail("JSON is nested too deeply");
            return true;
        };
        try {
            options_ = json::parse(quote_python_numbers(text), limit_depth);
        } catch (const json::exception&) {
            fail("not valid JSON");
        }
        if (!options_.is_object()) fail("not a JSON object");
    }

    [[noreturn]] void fail(const std::string& problem) const { throw Error(ErrorCode::input, problem, where_); }

    // Null counts as absent, as in diffusers.
    [[nodiscard]] bool has(const char* key) const { return options_.contains(key) && !options_[key].is_null(); }
    [[nodiscard]] const json& raw(const char* key) const { return options_[key]; }

    void read(const char* key, bool& value) const {
        if (!has(key)) return;
        if (!options_[key].is_boolean()) fail(in_quotes(key) + " must be true or false");
        value = options_[key].get<bool>();
    }
    void read(const char* key, double& value, double least, double most) const {
        if (!has(key)) return;
        if (!options_[key].is_number()) fail(in_quotes(key) + " must be a number");
        value = options_[key].get<double>();
        if (!(value >= least && value <= most)) fail(in_quotes(key) + " is out of range");
    }
    void read(const char* key, int& value, int least, int most) const {
        if (!has(key)) return;
        double number = value;
        read(key, number, least, most);
        if (number != std::floor(number)) fail(in_quotes(key) + " must be a whole number");
        value = static_cast<int>(number);
    }
    void read(const char* key, std::string& value, std::initializer_list<const char*> allowed) const {
        if (!has(key)) return;
        if (!options_[key].is_string()) fail(in_quotes(key) + " must be a string");
        value = options_[key].get<std::string>();
        if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
        std::string list;
        for (const char* a : allowed) list += (list.empty() ? "" : ", ") + std::string(a);
        fail(in_quotes(key) + " is " + in_quotes(value) + ", which is not supported (" + list + ")");
    }
    // Options that are not implemented must be off.
    void reject_true(std::initializer_list<const char*> keys) const {
        for (const char* key : keys) {
            bool value = false;
            read(key, value);
            if (value) fail(in_quotes(key) + ": true is not supported");
        }
    }
    void reject_present(std::initializer_list<const char*> keys) const {
        for (const char* key : keys)
            if (has(key)) fail(in_quotes(key) + " is not supported");
    }

  private:
    json options_;
    std::string where_;
};

constexpr int max_train_steps = 100'000;  // bounds the tables that a hostile file can ask for

void read_prediction(const OptionReader& in, ScheduleConfig& config, bool allows_flow) {
    std::string text = "epsilon";
    if (allows_flow) in.read("prediction_type", text, {"epsilon", "v_prediction", "sample", "flow_prediction"});
    else in.read("prediction_type", text, {"epsilon", "v_prediction", "sample"});
    config.prediction = text == "epsilon"        ? Prediction::epsilon
                        : text == "v_prediction" ? Prediction::v_prediction
                        : text == "sample"       ? Prediction::sample
                                                 : Prediction::flow;
}

// What all classes but flow matching share.
void read_betas(const OptionReader& in, ScheduleConfig& config) {
    in.read("beta_start", config.beta_start, 1e-8, 0.5);
    in.read("beta_end", config.beta_end, config.beta_start, 0.5);
    in.read("beta_schedule", config.beta_schedule, {"linear", "scaled_linear"});
    in.read("timestep_spacing", config.timestep_spacing, {"linspace", "leading", "trailing"});
    in.read("steps_offset", config.steps_offset, 0, config.train_steps);
    in.reject_true({"rescale_betas_zero_snr"});
    in.reject_present({"trained_betas"});
}

// DDIM and DDPM clip x0 to ±1 unless told not to, which suits pictures but ruins latents.
void reject_clipping(const OptionReader& in, const ScheduleConfig& config) {
    in.reject_true({"thresholding", "clip_sample"});
    if (!in.has("clip_sample")) {
        in.fail("\"clip_sample\" is absent, and the default of " + config.class_name +
                ", true, is not supported; set it to false");
    }
}

void read_ddim(const OptionReader& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    reject_clipping(in, config);
    in.read("set_alpha_to_one", config.set_alpha_to_one);
}

void read_ddpm(const OptionReader& in, ScheduleConfig& config) {
    config.timestep_spacing = "leading";
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    reject_clipping(in, config);
    in.read("variance_type", config.variance_type, {"fixed_small", "fixed_small_log", "fixed_large"});
}

// Clipping λ shortens the grid only where the schedule reaches below the bound.
void check_lambda_clip(const OptionReader& in, const ScheduleConfig& config) {
    constexpr const char* key = "lambda_min_clipped";
    if (!in.has(key) || in.raw(key) == "-Infinity") return;
    double bound = 0.0;
    in.read(key, bound, -1e30, 1e30);
    const double least_lambda = -std::log(static_cast<double>(sigmas_of(alphas_cumprod(config)).back()));
    if (bound > least_lambda) in.fail("\"lambda_min_clipped\" above the schedule's smallest log-SNR is not supported");
}

void read_dpmsolver(const OptionReader& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/true);
    in.reject_true({"thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_dynamic_shifting"});
    in.reject_present({"variance_type"});
    in.read("solver_order", config.solver_order, 1, 3);
    if (config.solver_order == 3) in.fail("\"solver_order\" 3 is not supported (1, 2)");
    in.read("algorithm_type", config.algorithm_type, {"dpmsolver++", "sde-dpmsolver++"});
    in.read("solver_type", config.solver_type, {"midpoint", "heun", "logrho", "bh1", "bh2"});
    if (config.solver_type != "heun") config.solver_type = "midpoint";  // diffusers reads the other names so
    in.read("lower_order_final", config.lower_order_final);
    in.read("euler_at_final", config.euler_at_final);
    in.read("use_karras_sigmas", config.karras_sigmas);
    in.read("use_flow_sigmas", config.flow_sigmas);
    in.read("flow_shift", config.flow_shift, 1e-3, 1e3);
    in.read("final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
    if (config.karras_sigmas && config.flow_sigmas) in.fail("\"use_karras_sigmas\" and \"use_flow_sigmas\" exclude each other");
    if (config.prediction == Prediction::flow && !config.flow_sigmas) {
        in.fail("\"prediction_type\" flow_prediction needs \"use_flow_sigmas\": true");
    }
    check_lambda_clip(in, config);
}

void read_euler(const OptionReader& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
    in.reject_true({"use_exponential_sigmas", "use_beta_sigmas"});
    in.reject_present({"sigma_min", "sigma_max"});
    in.read("use_karras_sigmas", config.karras_sigmas);
    in.read("final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
    std::string text;
    in.read("interpolation_type", text, {"linear"});
    in.read("timestep_type", text, {"discrete"});
}

void read_euler_ancestral(const OptionReader& in, ScheduleConfig& config) {
    read_betas(in, config);
    read_prediction(in, config, /*allows_flow=*/false);
}

void read_flow_euler(const OptionReader& in, ScheduleConfig& config) {
    config.prediction = Prediction::flow;
    config.flow_sigmas = true;
    in.read("shift", config.flow_shift, 1e-3, 1e3);
    in.reject_true({"use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                    "stochastic_sampling"});
    in.reject_present({"shift_terminal"});
}

struct ClassRow {
    const char* name;
    void (*read)(const OptionReader&, ScheduleConfig&);
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
    const OptionReader in(json, where);
    if (!in.has("_class_name") || !in.raw("_class_name").is_string()) in.fail("\"_class_name\" is missing");
    ScheduleConfig config;
    config.class_name = in.raw("_class_name").get<std::string>();
    const auto row = std::find_if(classes.begin(), classes.end(), [&](const ClassRow& r) { return r.name == config.class_name; });
    if (row == classes.end()) {
        std::string list;
        for (const ClassRow& r : classes) list += (list.empty() ? "" : ", ") + std::string(r.name);
        in.fail("the scheduler class " + in_quotes(config.class_name) + " is not supported (" + list + ")");
    }
    in.read("num_train_timesteps", config.train_steps, 1, max_train_steps);
    row->read(in, config);
    return config;
}

}  // namespace t2i
