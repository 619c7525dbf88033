#include <algorithm>

#include "core/check.h"
#include "core/nearest.h"
#include "sampling/sampler.h"
#include "sampling/samplers.h"
#include "t2i/error.h"

namespace t2i {

const std::vector<SamplerRow>& samplers() {
    static const std::vector<SamplerRow> rows{
        {"dpm++2m", "DPMSolverMultistepScheduler", "DPM-Solver++, second order: the fewest steps, no noise", make_dpmsolver},
        {"dpm++2m_sde", "DPMSolverMultistepScheduler", "DPM-Solver++ with fresh noise every step", make_dpmsolver_sde},
        {"ddim", "DDIMScheduler", "first order, no noise", make_ddim},
        {"ddpm", "DDPMScheduler", "the training process backwards; needs many steps", make_ddpm},
        {"euler", "EulerDiscreteScheduler", "Euler on the probability-flow ODE", make_euler},
        {"euler_a", "EulerAncestralDiscreteScheduler", "Euler with fresh noise every step", make_euler_ancestral},
        {"flow_euler", "FlowMatchEulerDiscreteScheduler", "Euler for flow-matching models", make_flow_euler},
        {"flow_euler_a", "FlowMatchEulerAncestral", "the same with fresh noise every step", make_flow_euler_ancestral},
    };
    return rows;
}

const SamplerRow& sampler_by_name(const std::string& name) {
    std::vector<std::string> names;
    std::string list;
    for (const SamplerRow& row : samplers()) {
        if (row.name == name) return row;
        names.push_back(row.name);
        list += (list.empty() ? "" : ", ") + row.name;
    }
    const std::string nearest = nearest_name(name, names);
    throw Error(ErrorCode::invalid_argument,
                "no sampling method " + in_quotes(name) + (nearest.empty() ? "" : "; did you mean " + in_quotes(nearest) + "?") +
                    " (" + list + ")",
                Field{"sampler"});
}

namespace {

// What a sampler is on a model that predicts a flow. With x_σ = (1 − σ)·x0 + σ·noise, DDIM's step without noise is Euler's.
std::string flow_form(const std::string& name) {
    if (name == "euler" || name == "ddim") return "flow_euler";
    return name == "euler_a" ? "flow_euler_a" : name;
}

}  // namespace

void override_sampler(ScheduleConfig& config, const std::string& name) {
    const bool is_flow_model = config.prediction == Prediction::flow;
    const SamplerRow& row = sampler_by_name(is_flow_model ? flow_form(name) : name);
    const bool is_dpm = row.class_name == "DPMSolverMultistepScheduler", is_flow_euler = row.name.starts_with("flow_euler");
    if (is_flow_model && !is_dpm && !is_flow_euler) {
        throw Error(
            ErrorCode::invalid_argument,
            "this model predicts a flow, which " + row.name + " cannot sample; use dpm++2m, dpm++2m_sde, euler, euler_a or ddim",
            Field{"sampler"});
    }
    if (!is_flow_model && is_flow_euler) {
        throw Error(ErrorCode::invalid_argument, row.name + " is for flow-matching models, which this one is not; use euler",
                    Field{"sampler"});
    }
    config.class_name = row.class_name;
    config.algorithm_type = row.name == "dpm++2m_sde" ? "sde-dpmsolver++" : "dpmsolver++";
    // diffusers' other classes have no such option and drop it.
    if (!is_dpm && row.name != "euler") config.karras_sigmas = false;
}

const SamplerRow& sampler_for(const ScheduleConfig& config) {
    const bool is_sde = config.algorithm_type == "sde-dpmsolver++";
    const auto& rows = samplers();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const SamplerRow& r) {
        const bool algorithm_fits = r.class_name != "DPMSolverMultistepScheduler" || (r.name == "dpm++2m_sde") == is_sde;
        return r.class_name == config.class_name && algorithm_fits;
    });
    T2I_CHECK(row != rows.end(), "no sampler for the class " + config.class_name);
    return *row;
}

void override_scheduler(ScheduleConfig& config, const std::string& name) {
    if (name != "discrete" && name != "karras" && name != "flow") {
        throw Error(ErrorCode::invalid_argument, "no scheduler " + in_quotes(name) + " (discrete, karras, flow)",
                    Field{"scheduler"});
    }
    config.karras_sigmas = name == "karras";
    config.flow_sigmas = name == "flow";
}

}  // namespace t2i
