#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sampling/sampler.h"
#include "support/files.h"
#include "support/fixture.h"
#include "support/place.h"
#include "unit/expect_error.h"
#include "unit/replay.h"

using namespace t2i;
using namespace t2i::test;

namespace {

constexpr std::size_t elements = 3;

// The toy model, start and noise of scripts/golden/make_schedulers.py.
template <typename Real>
std::vector<std::vector<Real>> replay_toy(const SamplerPlan& plan) {
    std::vector<Real> start(elements);
    for (std::size_t j = 0; j < elements; ++j) {
        start[j] = static_cast<Real>(plan.initial_scale) * static_cast<float>(std::sin(1.0 + static_cast<double>(j)));
    }
    const auto model = [](const std::vector<Real>& x, double t) {
        std::vector<Real> out;
        for (const Real v : x) out.push_back(static_cast<Real>(0.5) * v + static_cast<Real>(0.1 * std::sin(t / 100)));
        return out;
    };
    const auto noise = [](int k) {
        std::vector<Real> out;
        for (std::size_t j = 0; j < elements; ++j) {
            out.push_back(static_cast<Real>(1.3 * std::sin(1.7 * k + 0.9 * static_cast<double>(j) + 0.5)));
        }
        return out;
    };
    return replay<Real>(plan, std::move(start), model, noise);
}

// Largest difference after a step, relative to the largest value before or after it: where a step cancels,
// neither side can be more exact than the rounding of what it subtracts.
template <typename Real>
double relative_error(const std::vector<std::vector<Real>>& ours, const nlohmann::json& theirs) {
    double worst = 0.0, previous_size = 0.0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        double difference = 0.0, size = 1e-30;
        for (std::size_t j = 0; j < elements; ++j) {
            const double reference = theirs[i][j].get<double>();
            difference = std::max(difference, std::abs(static_cast<double>(ours[i][j]) - reference));
            size = std::max(size, std::abs(reference));
        }
        worst = std::max(worst, difference / std::max(size, previous_size));
        previous_size = size;
    }
    return worst;
}

std::string problem_of(const std::string& json) {
    const std::string message = message_of(ErrorCode::input, [&] { (void)parse_schedule_config(json, "scheduler_config.json"); });
    CHECK(contains(message, "scheduler_config.json: "));
    return message;
}

std::string config_of(const std::string& class_name, const std::string& options) {
    return R"({"_class_name":")" + class_name + "\"" + (options.empty() ? "" : "," + options) + "}";
}

}  // namespace

TEST_CASE("samplers: trajectories equal diffusers'") {
    constexpr double limit = 1e-5;
    const auto golden = nlohmann::json::parse(file_text(source_folder() / "tests/golden/schedulers.json"));
    for (const auto& c : golden["cases"]) {
        ScheduleConfig config = parse_schedule_config(c["config"].dump(), "golden");
        config.eta = c["options"].value("eta", 0.0);
        const SamplerRow& row = sampler_for(config);
        for (const auto& run : c["runs"]) {
            const int steps = run["steps"].get<int>();
            const std::string name =
                row.name + " " + c["config"].dump() + c["options"].dump() + " " + std::to_string(steps) + " steps";
            INFO(name);
            const SamplerPlan plan = row.make()->plan(config, steps);
            REQUIRE(plan.steps.size() == run["timesteps"].size());
            for (std::size_t i = 0; i < plan.steps.size(); ++i) {
                // float32 timesteps may differ by rounding; integer ones may not.
                CHECK(std::abs(plan.steps[i].timestep - run["timesteps"][i].get<double>()) <= 1e-6 * plan.steps[i].timestep);
            }
            CHECK(std::count_if(plan.steps.begin(), plan.steps.end(), [](const SamplerStep& s) { return s.draws_noise; }) ==
                  run["draws"].get<int>());
            const double in_double = relative_error(replay_toy<double>(plan), run["trajectory"]);
            const double in_float = relative_error(replay_toy<float>(plan), run["trajectory"]);
            check_parity("sampler " + row.name, name, std::max(in_double, in_float), limit);
        }
    }
}

TEST_CASE("schedule config: absent options have their class's defaults") {
    const auto ddim = parse_schedule_config(config_of("DDIMScheduler", R"("clip_sample":false)"), "x");
    CHECK(ddim.timestep_spacing == "leading");
    CHECK(ddim.set_alpha_to_one);
    const auto dpm = parse_schedule_config(config_of("DPMSolverMultistepScheduler", ""), "x");
    CHECK(dpm.timestep_spacing == "linspace");
    CHECK(dpm.final_sigmas_type == "zero");
    CHECK(dpm.prediction == Prediction::epsilon);
    CHECK(sampler_for(dpm).name == "dpm++2m");
    const auto sde =
        parse_schedule_config(config_of("DPMSolverMultistepScheduler", R"("algorithm_type":"sde-dpmsolver++")"), "x");
    CHECK(sampler_for(sde).name == "dpm++2m_sde");
    const auto flow = parse_schedule_config(config_of("FlowMatchEulerDiscreteScheduler", R"("shift":3)"), "x");
    CHECK(flow.prediction == Prediction::flow);
    CHECK(flow.flow_shift == 3.0);
    CHECK(sampler_for(flow).name == "flow_euler");
}

TEST_CASE("schedule config: Python's -Infinity and null are read as diffusers reads them") {
    const auto config = parse_schedule_config(
        config_of("DPMSolverMultistepScheduler",
                  R"("lambda_min_clipped":-Infinity,"trained_betas":null,"variance_type":null,"note":"-Infinity \" NaN")"),
        "x");
    CHECK(config.solver_order == 2);
    (void)parse_schedule_config(config_of("DPMSolverMultistepScheduler", R"("lambda_min_clipped":-5.1)"), "x");
    CHECK(contains(problem_of(config_of("DPMSolverMultistepScheduler", R"("lambda_min_clipped":-4.0)")), "lambda_min_clipped"));
}

TEST_CASE("samplers: one chosen by name keeps the model's schedule") {
    ScheduleConfig config =
        parse_schedule_config(config_of("DPMSolverMultistepScheduler", R"("beta_start":0.001,"use_karras_sigmas":true)"), "x");
    override_sampler(config, "dpm++2m_sde");
    CHECK(sampler_for(config).name == "dpm++2m_sde");
    CHECK(config.karras_sigmas);
    override_sampler(config, "ddim");
    CHECK(sampler_for(config).name == "ddim");
    CHECK(config.beta_start == 0.001);
    CHECK_FALSE(config.karras_sigmas);
    for (const SamplerRow& row : samplers()) {
        if (row.name.starts_with("flow_euler")) continue;
        override_sampler(config, row.name);
        CHECK(sampler_for(config).name == row.name);
    }
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { override_sampler(config, "flow_euler"); }), "flow-matching"));

    ScheduleConfig flow = parse_schedule_config(config_of("FlowMatchEulerDiscreteScheduler", R"("shift":3.0)"), "x");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { override_sampler(flow, "ddpm"); }), "dpm++2m"));
    override_sampler(flow, "dpm++2m");
    CHECK(sampler_for(flow).make()->plan(flow, 4).steps.size() == 4);
    for (const char* name : {"euler", "ddim"}) {
        override_sampler(flow, name);
        CHECK(sampler_for(flow).name == "flow_euler");
    }
    CHECK(sampler_for(flow).make()->plan(flow, 4).steps.size() == 4);
    override_sampler(flow, "euler_a");
    CHECK(sampler_for(flow).name == "flow_euler_a");
    CHECK(sampler_for(flow).make()->plan(flow, 4).steps.back().from_noise == 0.0);
}

TEST_CASE("schedule config: what is not supported is rejected by name") {
    const std::string dpm = "DPMSolverMultistepScheduler", ddim = "DDIMScheduler", ddpm = "DDPMScheduler",
                      euler = "EulerDiscreteScheduler", flow = "FlowMatchEulerDiscreteScheduler",
                      no_clip = R"("clip_sample":false,)";
    const auto cases = std::vector<std::pair<std::string, std::string>>{
        {"", "not valid JSON"},
        {"[]", "not a JSON object"},
        {"{}", "\"_class_name\" is missing"},
        {std::string(100, '['), "nested too deeply"},
        {config_of("PNDMScheduler", ""), "PNDMScheduler"},
        {config_of(ddim, ""), "\"clip_sample\" is absent"},
        {config_of(ddim, R"("clip_sample":true)"), "\"clip_sample\": true"},
        {config_of(ddim, no_clip + R"("thresholding":true)"), "\"thresholding\": true"},
        {config_of(ddim, no_clip + R"("rescale_betas_zero_snr":true)"), "\"rescale_betas_zero_snr\""},
        {config_of(ddim, no_clip + R"("trained_betas":[0.1])"), "\"trained_betas\""},
        {config_of(ddim, no_clip + R"("prediction_type":"flow_prediction")"), "flow_prediction"},
        {config_of(ddpm, no_clip + R"("variance_type":"learned_range")"), "learned_range"},
        {config_of(ddpm, no_clip + R"("variance_type":"fixed_large_log")"), "fixed_large_log"},
        {config_of(dpm, R"("beta_schedule":"squaredcos_cap_v2")"), "squaredcos_cap_v2"},
        {config_of(dpm, R"("variance_type":"learned_range")"), "\"variance_type\""},
        {config_of(dpm, R"("solver_order":3)"), "\"solver_order\" 3"},
        {config_of(dpm, R"("algorithm_type":"dpmsolver")"), "dpmsolver"},
        {config_of(dpm, R"("use_exponential_sigmas":true)"), "use_exponential_sigmas"},
        {config_of(dpm, R"("use_beta_sigmas":true)"), "use_beta_sigmas"},
        {config_of(dpm, R"("use_lu_lambdas":true)"), "use_lu_lambdas"},
        {config_of(dpm, R"("use_dynamic_shifting":true)"), "use_dynamic_shifting"},
        {config_of(dpm, R"("prediction_type":"flow_prediction")"), "use_flow_sigmas"},
        {config_of(dpm, R"("num_train_timesteps":0)"), "\"num_train_timesteps\" is out of range"},
        {config_of(dpm, R"("num_train_timesteps":10.5)"), "must be a whole number"},
        {config_of(dpm, R"("num_train_timesteps":"1000")"), "must be a whole number"},
        {config_of(dpm, R"("beta_start":NaN)"), "must be a number"},
        {config_of(dpm, R"("beta_start":-1)"), "out of range"},
        {config_of(dpm, R"("use_karras_sigmas":1)"), "must be true or false"},
        {config_of(dpm, R"("timestep_spacing":"log")"), "\"log\""},
        {config_of(euler, R"("sigma_max":80.0)"), "\"sigma_max\""},
        {config_of(euler, R"("timestep_type":"continuous")"), "continuous"},
        {config_of(euler, R"("interpolation_type":"log_linear")"), "log_linear"},
        {config_of(flow, R"("use_dynamic_shifting":true)"), "use_dynamic_shifting"},
        {config_of(flow, R"("shift_terminal":0.1)"), "shift_terminal"},
        {config_of(flow, R"("invert_sigmas":true)"), "invert_sigmas"},
        {config_of(flow, R"("shift":0)"), "\"shift\" is out of range"},
    };
    for (const auto& [json, reason] : cases) {
        const std::string message = problem_of(json);
        INFO(json << "\n" << message);
        CHECK(contains(message, reason));
    }
}

TEST_CASE("samplers: the registry suggests, and each sampler refuses what it cannot do") {
    CHECK(sampler_by_name("ddim").class_name == "DDIMScheduler");
    const std::string unknown = message_of(ErrorCode::invalid_argument, [] { (void)sampler_by_name("dpm++2"); });
    CHECK(contains(unknown, "did you mean \"dpm++2m\"?"));
    ScheduleConfig config;
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { override_scheduler(config, "exponential"); }),
                   "discrete, karras, flow"));
    override_scheduler(config, "karras");
    CHECK(config.karras_sigmas);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("ddim").make()->plan(config, 10); }),
                   "karras"));
    (void)sampler_by_name("dpm++2m").make()->plan(config, 10);
    override_scheduler(config, "discrete");
    CHECK_FALSE(config.karras_sigmas);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("flow_euler").make()->plan(config, 10); }),
                   "flow"));
    config.prediction = Prediction::flow;
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("euler").make()->plan(config, 10); }),
                   "predict a flow"));
}

TEST_CASE("samplers: any legal number of steps gives a finite plan of that length, any other an error") {
    for (const SamplerRow& row : samplers()) {
        for (const char* spacing : {"linspace", "leading", "trailing"}) {
            ScheduleConfig config;
            config.timestep_spacing = spacing;
            if (row.name.starts_with("flow_euler")) {
                config.prediction = Prediction::flow;
                config.flow_sigmas = true;
            }
            const auto sampler = row.make();
            for (const int steps : {1, 2, 3, 7, 14, 15, 49, 333, 999, 1000}) {
                if (std::string(spacing) == "leading" && row.class_name == "DPMSolverMultistepScheduler" && steps == 1000)
                    continue;
                INFO(row.name << " " << spacing << " " << steps);
                const SamplerPlan plan = sampler->plan(config, steps);
                REQUIRE(plan.steps.size() == static_cast<std::size_t>(steps));
                bool is_finite = true;
                for (const SamplerStep& s : plan.steps) {
                    const double rest = std::accumulate(s.from_x0.begin(), s.from_x0.end(), 0.0);
                    is_finite &= std::isfinite(s.timestep + s.model_scale + s.x0_from_x + s.x0_from_model + s.from_x + rest +
                                               s.from_noise);
                    is_finite &= s.timestep >= 0.0 && s.timestep <= 1000.0;
                }
                CHECK(is_finite);
            }
            for (const int steps : {-1, 0, 1001}) {
                CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler->plan(config, steps); }),
                               "between 1 and 1000"));
            }
        }
    }
}
