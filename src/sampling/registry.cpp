#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "sampling/sampler.h"
#include "sampling/samplers.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr const char *multistep = "DPMSolverMultistepScheduler", *singlestep = "DPMSolverSinglestepScheduler";
constexpr NamedOption plus{"algorithm_type", R"("dpmsolver++")"}, sde_plus{"algorithm_type", R"("sde-dpmsolver++")"},
    first_form{"algorithm_type", R"("dpmsolver")"}, sde_first_form{"algorithm_type", R"("sde-dpmsolver")"},
    third_order{"solver_order", "3"}, ends_above_zero{"final_sigmas_type", R"("sigma_min")"};

}  // namespace

const std::vector<SamplerRow>& samplers() {
    constexpr bool flow = true, gives_x0 = true;
    static const std::vector<SamplerRow> rows{
        {"dpm++2m", multistep, "DPM-Solver++, second order: the fewest steps, no noise", make_dpmsolver_multistep, {plus}, flow},
        {"dpm++2m_sde", multistep, "DPM-Solver++ with fresh noise every step", make_dpmsolver_multistep, {sde_plus}, flow},
        {"dpm++3m", multistep, "DPM-Solver++, third order", make_dpmsolver_multistep, {plus, third_order}, flow},
        {"dpm++2s", singlestep, "DPM-Solver++, each step by itself", make_dpmsolver_singlestep, {plus}, flow},
        {"dpm++2s_sde", singlestep, "the same with fresh noise every step", make_dpmsolver_singlestep, {sde_plus}, flow},
        {"dpm2m", multistep, "DPM-Solver, the form before ++", make_dpmsolver_multistep, {first_form, ends_above_zero}},
        {"dpm2m_sde",
         multistep,
         "the same with fresh noise every step",
         make_dpmsolver_multistep,
         {sde_first_form, ends_above_zero}},
        {"dpm2s", singlestep, "DPM-Solver, each step by itself", make_dpmsolver_singlestep, {first_form, ends_above_zero}},
        {"unipc", "UniPCMultistepScheduler", "predictor and corrector, no noise", make_unipc, {}, flow},
        {"deis", "DEISMultistepScheduler", "exponential integrator, no noise", make_deis, {}, flow},
        {"sa_solver", "SASolverScheduler", "predictor and corrector with noise in the middle", make_sa_solver, {}, flow},
        {"ddim", "DDIMScheduler", "first order, no noise", make_ddim, {}, false, gives_x0},
        {"ddpm", "DDPMScheduler", "the training process backwards; needs many steps", make_ddpm, {}, false, gives_x0},
        {"iddpm", "SpacedDiffusion", "ddpm with the variance that facebook's DiT predicts, as its own program samples",
         make_iddpm},
        {"euler", "EulerDiscreteScheduler", "Euler on the probability-flow ODE", make_euler, {}, false, gives_x0},
        {"euler_a",
         "EulerAncestralDiscreteScheduler",
         "Euler with fresh noise every step",
         make_euler_ancestral,
         {},
         false,
         gives_x0},
        {"heun", "HeunDiscreteScheduler", "second order, two evaluations a step, no noise", make_heun, {}, false, gives_x0},
        {"plms", "PNDMScheduler", "fourth order, linear multistep", make_pndm, {{"skip_prk_steps", "true"}}},
        {"pndm", "PNDMScheduler", "the same, begun by Runge-Kutta: nine evaluations more", make_pndm},
        {"lcm", "LCMScheduler", "for latent consistency models, in 1 to 8 steps", make_lcm},
        {"flow_euler", "FlowMatchEulerDiscreteScheduler", "Euler for flow-matching models", make_flow_euler, {}, flow},
        {"flow_euler_a", "FlowMatchEulerAncestral", "the same with fresh noise every step", make_flow_euler_ancestral, {}, flow},
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

const SamplerRow& sampler_for(const ScheduleConfig& config) {
    const auto is = [&](const NamedOption& option) {
        const std::string key = option.key, value = option.json;
        if (key == "algorithm_type") return value == "\"" + config.algorithm_type + "\"";
        if (key == "solver_order") return value == std::to_string(config.solver_order);
        if (key == "skip_prk_steps") return config.skip_prk_steps;
        return true;  // what the class itself asks for
    };
    // Of two names that fit, the one that says more.
    const SamplerRow* fits = nullptr;
    for (const SamplerRow& row : samplers())
        if (row.class_name == config.class_name && std::ranges::all_of(row.options, is) &&
            (fits == nullptr || row.options.size() > fits->options.size()))
            fits = &row;
    T2I_CHECK(fits != nullptr, "no sampler for the class " + config.class_name);
    return *fits;
}

SamplerPlan plan_steps(const ScheduleConfig& config, int steps, int first) {
    const SamplerRow& row = sampler_for(config);
    SamplerPlan plan = row.make()->plan(config, steps, first);
    if (plan.steps.empty())  // a grid that was cut short
        throw Error(ErrorCode::invalid_argument, "leaves none of the sampler's steps", Field{"strength"});
    const auto sum = [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); };
    const bool is_finite = std::ranges::all_of(plan.steps, [&](const SamplerStep& s) {
        return std::isfinite(s.timestep + s.model_scale + s.x0_from_x + s.x0_from_model + s.kept_from_x + s.kept_from_x0 +
                             s.saved_from_saved + s.saved_from_x + s.saved_from_noise + sum(s.saved_from_x0) + s.from_x +
                             s.from_model + s.from_saved + s.from_noise + s.variance_slope + sum(s.from_x0) + s.begins_at.signal +
                             s.begins_at.noise);
    });
    if (!is_finite || !std::isfinite(plan.initial_scale))
        throw Error(ErrorCode::invalid_argument,
                    "the sampler " + row.name + " has no finite steps on this model's schedule at " + std::to_string(steps) +
                        " steps; use another sampler or number of steps",
                    Field{"sampler"});
    return plan;
}

int first_step(int steps, double strength, Prediction prediction) {
    const double noised = std::min(steps * strength, static_cast<double>(steps));
    const int first = prediction == Prediction::flow ? static_cast<int>(std::max(steps - noised, 0.0))
                                                     : std::max(steps - static_cast<int>(noised), 0);
    if (first < steps) return first;
    throw Error(ErrorCode::invalid_argument,
                number_text(strength) + " of " + std::to_string(steps) + " steps leaves none to do; 1/steps is the least",
                Field{"strength"});
}

void end_in_x0(SamplerPlan& plan, const ScheduleConfig& config) {
    if (!sampler_for(config).returns_x0) return;
    SamplerStep& last = plan.steps.back();
    last.from_x = last.from_model = last.from_saved = last.from_noise = 0.0;
    last.from_x0 = {1.0};
}

const std::vector<std::string>& schedules() {
    static const std::vector<std::string> names{"discrete", "karras", "exponential", "beta", "lu", "flow"};
    return names;
}

void override_scheduler(ScheduleConfig& config, const std::string& name) {
    const auto& names = schedules();
    if (std::ranges::find(names, name) == names.end()) {
        std::string list;
        for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
        throw Error(ErrorCode::invalid_argument, "no scheduler " + in_quotes(name) + " (" + list + ")", Field{"scheduler"});
    }
    config.sigma_schedule = name == "karras"        ? SigmaSchedule::karras
                            : name == "exponential" ? SigmaSchedule::exponential
                            : name == "beta"        ? SigmaSchedule::beta
                            : name == "lu"          ? SigmaSchedule::lu
                                                    : SigmaSchedule::discrete;
    config.flow_sigmas = name == "flow";
}

}  // namespace t2i
