#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json_options.h"
#include "sampling/sampler.h"
#include "sampling/schedule.h"
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
std::vector<std::vector<Real>> replay_toy(const SamplerPlan& plan, std::vector<double>& sizes) {
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
    return replay<Real>(plan, std::move(start), model, noise, &sizes);
}

// Largest difference after a step, relative to the largest value and sum of terms of the step and of the three evaluations before
// it, which it reads: where a step cancels, neither side can be more exact than the rounding of what it subtracts.
template <typename Real>
double error_of_toy(const SamplerPlan& plan, const nlohmann::json& theirs) {
    std::vector<double> sums;
    const std::vector<std::vector<Real>> ours = replay_toy<Real>(plan, sums);
    std::vector<double> sizes{plan.initial_scale};
    double worst = 0.0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        double difference = 0.0, size = std::max(sums[i], 1e-30);
        for (std::size_t j = 0; j < elements; ++j) {
            const double reference = theirs[i][j].get<double>();
            difference = std::max(difference, std::abs(static_cast<double>(ours[i][j]) - reference));
            size = std::max(size, std::abs(reference));
        }
        sizes.push_back(size);
        const auto first = sizes.end() - std::min<std::ptrdiff_t>(std::ssize(sizes), 4);
        worst = std::max(worst, difference / *std::max_element(first, sizes.end()));
    }
    return worst;
}

std::string problem_of(const std::string& json) {
    const std::string message = message_of(ErrorCode::input, [&] { (void)parse_schedule_config(json, "scheduler_config.json"); });
    CHECK(contains(message, "scheduler_config.json: "));
    return message;
}

ScheduleConfig chosen(const std::string& json, const std::string& sampler) {
    return read_schedule(JsonOptions::parse(json, "x"), sampler);
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
            const SamplerPlan plan = plan_steps(config, steps);
            REQUIRE(plan.steps.size() == run["timesteps"].size());
            for (std::size_t i = 0; i < plan.steps.size(); ++i) {
                // float32 timesteps may differ by rounding; integer ones may not.
                const double timestep = run["timesteps"][i].get<double>();
                CHECK(std::abs(plan.steps[i].timestep - timestep) <= 1e-6 * std::max(std::abs(timestep), 1.0));
            }
            CHECK(std::count_if(plan.steps.begin(), plan.steps.end(), [](const SamplerStep& s) { return s.draws_noise; }) ==
                  run["draws"].get<int>());
            const double in_double = error_of_toy<double>(plan, run["trajectory"]);
            const double in_float = error_of_toy<float>(plan, run["trajectory"]);
            check_parity("sampler " + row.name, name, std::max(in_double, in_float), limit);
        }
    }
}

TEST_CASE("schedule config: absent options have their class's defaults") {
    const auto ddim = parse_schedule_config(config_of("DDIMScheduler", ""), "x");
    CHECK(ddim.limit == PredictionLimit{.range = 1.0});
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
    CHECK(std::isinf(config.lambda_min_clipped));
}

TEST_CASE("samplers: one chosen by name keeps what the file says and takes the rest from its own class") {
    const std::string dpm = config_of("DPMSolverMultistepScheduler", R"("beta_start":0.001,"use_karras_sigmas":true)");
    CHECK(sampler_for(chosen(dpm, "dpm++2m_sde")).name == "dpm++2m_sde");
    CHECK(chosen(dpm, "dpm++2m_sde").sigma_schedule == SigmaSchedule::karras);
    CHECK(chosen(dpm, "ddim").beta_start == 0.001);
    CHECK(chosen(dpm, "ddim").sigma_schedule == SigmaSchedule::discrete);
    for (const SamplerRow& row : samplers())
        if (!row.name.starts_with("flow_euler")) CHECK(sampler_for(chosen(dpm, row.name)).name == row.name);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)chosen(dpm, "flow_euler"); }), "flow-matching"));

    // Absent: the class's own default. facebook/DiT-XL-2-256 has no timestep_spacing.
    const std::string dit = config_of("DDIMScheduler", R"("clip_sample":false,"steps_offset":0,"set_alpha_to_one":true)");
    CHECK(chosen(dit, "ddim").timestep_spacing == "leading");
    for (const char* name : {"dpm++2m", "dpm++2s", "euler", "euler_a", "unipc", "deis", "heun"})
        CHECK(chosen(dit, name).timestep_spacing == "linspace");
    CHECK(chosen(config_of("DPMSolverMultistepScheduler", ""), "ddim").timestep_spacing == "leading");
    CHECK(chosen(config_of("DPMSolverMultistepScheduler", R"("timestep_spacing":"trailing")"), "ddim").timestep_spacing ==
          "trailing");
    CHECK(chosen(dit, "heun").beta_start == 0.00085);
    CHECK(chosen(dit, "lcm").beta_schedule == "scaled_linear");
    CHECK_FALSE(chosen(dit, "dpm++2s").lower_order_final);
    // What a newer diffusers marks as a default counts as absent.
    CHECK(
        chosen(config_of("DDIMScheduler", R"("timestep_spacing":"leading","_use_default_values":["timestep_spacing"])"), "euler")
            .timestep_spacing == "linspace");
}

TEST_CASE("samplers: x0 is clipped by default where the file's own class does so, and never on another's account") {
    CHECK(parse_schedule_config(config_of("DDIMScheduler", ""), "x").limit.range == 1.0);
    CHECK(chosen(config_of("DDIMScheduler", ""), "ddpm").limit.range == 1.0);
    CHECK(chosen(config_of("DDIMScheduler", R"("clip_sample":false)"), "ddpm").limit.range == 0.0);
    CHECK(chosen(config_of("DPMSolverMultistepScheduler", ""), "ddim").limit.range == 0.0);
    CHECK(chosen(config_of("DPMSolverMultistepScheduler", R"("clip_sample":true,"clip_sample_range":2)"), "ddim").limit.range ==
          2.0);
    CHECK(chosen(config_of("DDIMScheduler", R"("clip_sample":true)"), "dpm++2m").limit.range == 0.0);
}

TEST_CASE("samplers: one that is asked for needs nothing of the file's own class") {
    for (const char* name : {"LMSDiscreteScheduler", "MadeUpScheduler"}) {
        const std::string json = config_of(name, R"("beta_start":0.001,"interpolation":[1])");
        CHECK(contains(problem_of(json), name));
        CHECK(sampler_for(chosen(json, "unipc")).name == "unipc");
        CHECK(chosen(json, "euler").beta_start == 0.001);
    }
    CHECK(sampler_for(chosen("{}", "ddim")).name == "ddim");
    // The class that model_index.json has counts, whatever the file says.
    CHECK(parse_schedule_config("{}", "x", "DDIMScheduler").timestep_spacing == "leading");
    CHECK(sampler_for(parse_schedule_config(config_of("MadeUpScheduler", ""), "x", "LCMScheduler")).name == "lcm");
    // What only the other class reads may be anything.
    CHECK(sampler_for(chosen(config_of("UniPCMultistepScheduler", R"("solver_order":9)"), "euler")).name == "euler");
}

TEST_CASE("samplers: what another class calls its algorithm is translated or left") {
    const std::string sde =
        config_of("DPMSolverMultistepScheduler", R"("algorithm_type":"sde-dpmsolver++","solver_type":"heun")");
    CHECK(chosen(sde, "dpm++2m").algorithm_type == "dpmsolver++");
    CHECK(chosen(sde, "dpm++2m").solver_type == "heun");
    CHECK(chosen(sde, "deis").solver_order == 2);
    CHECK(chosen(sde, "sa_solver").predict_x0);
    CHECK(chosen(sde, "unipc").solver_type == "bh2");
    CHECK(chosen(config_of("UniPCMultistepScheduler", R"("solver_type":"bh1")"), "dpm++2m").solver_type == "midpoint");
    CHECK(chosen(config_of("SASolverScheduler", R"("algorithm_type":"noise_prediction")"), "dpm++2m").algorithm_type ==
          "dpmsolver++");
    // Its name says the form, and what the form cannot do without.
    CHECK(chosen(sde, "dpm2m").final_sigmas_type == "sigma_min");
    CHECK(chosen(sde, "dpm++3m").solver_order == 3);
    CHECK(sampler_for(chosen(config_of("DPMSolverMultistepScheduler", R"("solver_order":3)"), "dpm++2m")).name == "dpm++3m");
    CHECK(sampler_for(chosen(config_of("PNDMScheduler", R"("skip_prk_steps":true)"), "pndm")).name == "plms");
}

TEST_CASE("samplers: on a model that predicts a flow") {
    const std::string flow = config_of("FlowMatchEulerDiscreteScheduler", R"("shift":3.0)");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)chosen(flow, "ddpm"); }), "use dpm++2m, dpm++2m_sde,"));
    for (const char* name : {"dpm++2m", "dpm++2m_sde", "dpm++3m", "dpm++2s", "unipc", "deis", "sa_solver"}) {
        CHECK(sampler_for(chosen(flow, name)).name == name);
        CHECK(chosen(flow, name).flow_shift == 3.0);
        CHECK(plan_steps(chosen(flow, name), 4).steps.size() == 4);
    }
    for (const char* name : {"euler", "ddim"}) CHECK(sampler_for(chosen(flow, name)).name == "flow_euler");
    CHECK(sampler_for(chosen(flow, "euler_a")).name == "flow_euler_a");
    CHECK(plan_steps(chosen(flow, "euler_a"), 4).steps.back().from_noise == 0.0);
    const std::string dpm = config_of("DPMSolverMultistepScheduler",
                                      R"("prediction_type":"flow_prediction","use_flow_sigmas":true,"flow_shift":2.0)");
    CHECK(chosen(dpm, "euler").flow_shift == 2.0);
    for (const char* name : {"dpm2m", "heun", "plms", "lcm"})
        CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)chosen(dpm, name); }), "predicts a flow"));
}

TEST_CASE("samplers: the picture of one step can be the data prediction") {
    for (const char* name : {"ddim", "ddpm", "euler", "euler_a", "heun"}) {
        const ScheduleConfig config = chosen(
            config_of("DDPMScheduler", R"("clip_sample":false,"timestep_spacing":"trailing","variance_type":"fixed_large")"),
            name);
        SamplerPlan plan = plan_steps(config, 1);
        end_in_x0(plan, config);
        REQUIRE(plan.steps.size() == 1);
        const auto model = [](const std::vector<double>& x, double) { return std::vector<double>(x.size(), 0.25); };
        const auto noise = [](int) { return std::vector<double>{7.0}; };
        const SamplerStep& s = plan.steps.front();
        INFO(name);
        CHECK(replay<double>(plan, {2.0}, model, noise).back()[0] == s.x0_from_x * 2.0 + s.x0_from_model * 0.25);
    }
    // PixArt-Alpha-DMD reads its model once, at timestep 400: diffusers' DDPMScheduler with timesteps=[400].
    const ScheduleConfig dmd =
        chosen(config_of("DDPMScheduler", R"("clip_sample":false,"timestep_spacing":"leading","steps_offset":400)"), "ddpm");
    SamplerPlan once = plan_steps(dmd, 1);
    end_in_x0(once, dmd);
    REQUIRE(once.steps.size() == 1);
    CHECK(once.steps.front().timestep == 400.0);
    CHECK(once.steps.front().x0_from_x == Approx(2.2728916).epsilon(1e-6));
    CHECK(once.steps.front().x0_from_model == Approx(-2.0410870).epsilon(1e-6));
    // A class whose step returns no data prediction keeps its step.
    const ScheduleConfig dpm = chosen("{}", "dpm++2m");
    SamplerPlan plan = plan_steps(dpm, 1);
    const SamplerPlan before = plan;
    end_in_x0(plan, dpm);
    CHECK(plan == before);
}

TEST_CASE("samplers: DDPM adds noise of the fixed variance types alone, and needs none at the last timestep") {
    for (const char* type : {"fixed_large_log", "learned", "learned_range"}) {
        const ScheduleConfig config = parse_schedule_config(
            config_of("DDPMScheduler", R"("clip_sample":false,"variance_type":")" + std::string(type) + "\""), "x");
        CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(config, 2); }), type));
        CHECK(plan_steps(config, 1).steps.size() == 1);
    }
}

TEST_CASE("samplers: where no finite step is left it is said") {
    const std::string zero_snr = R"("clip_sample":false,"rescale_betas_zero_snr":true,"timestep_spacing":"trailing")";
    const ScheduleConfig epsilon = parse_schedule_config(config_of("DDIMScheduler", zero_snr), "x");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(epsilon, 4); }), "no signal is left"));
    (void)plan_steps(parse_schedule_config(config_of("DDIMScheduler", zero_snr + R"(,"prediction_type":"v_prediction")"), "x"),
                     4);
    const ScheduleConfig unipc = parse_schedule_config(config_of("UniPCMultistepScheduler", R"("lower_order_final":false)"), "x");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(unipc, 4); }), "no finite steps"));
    const ScheduleConfig pndm = chosen("{}", "pndm");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(pndm, 3); }), "at least 4 steps"));
    CHECK(plan_steps(pndm, 4).steps.size() == 13);
    const ScheduleConfig lcm = chosen("{}", "lcm");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(lcm, 51); }), "at most 50 steps"));
}

TEST_CASE("quantiles of the beta distribution are scipy's") {
    // scipy.stats.beta.ppf(p, 0.6, 0.6)
    CHECK(beta_quantile(0.0, 0.6, 0.6) == 0.0);
    CHECK(beta_quantile(1.0, 0.6, 0.6) == 1.0);
    CHECK(std::abs(beta_quantile(0.5, 0.6, 0.6) - 0.5) < 1e-14);
    const std::vector<std::pair<double, double>> values{
        {0.0001, 3.998377158137721e-07}, {0.02, 0.002732982024577027}, {0.1, 0.03958440558878085}, {0.25, 0.17568037865269498},
        {0.4, 0.3627009907532143},       {0.6, 0.6372990092467856},    {0.75, 0.824319621347305},  {0.9, 0.9604155944112192},
        {0.98, 0.9972670179754229},      {0.9999, 0.9999996001622842}};
    for (const auto& [p, x] : values) CHECK(std::abs(beta_quantile(p, 0.6, 0.6) - x) < 1e-13 * (1.0 + x));
}

TEST_CASE("schedule config: what is not supported is rejected by name") {
    const std::string dpm = "DPMSolverMultistepScheduler", ddim = "DDIMScheduler", ddpm = "DDPMScheduler",
                      euler = "EulerDiscreteScheduler", flow = "FlowMatchEulerDiscreteScheduler";
    const auto cases = std::vector<std::pair<std::string, std::string>>{
        {"", "not valid JSON"},
        {"[]", "not a JSON object"},
        {"{}", "\"_class_name\" is missing"},
        {std::string(100, '['), "nested too deeply"},
        {config_of("LMSDiscreteScheduler", ""), "LMSDiscreteScheduler"},
        {config_of("FlowMatchEulerAncestral", ""), "FlowMatchEulerAncestral"},
        {config_of(ddim, R"("clip_sample_range":0,"clip_sample":true)"), "\"clip_sample_range\" is out of range"},
        {config_of(ddim, R"("dynamic_thresholding_ratio":2,"thresholding":true)"), "\"dynamic_thresholding_ratio\""},
        {config_of(ddim, R"("trained_betas":[0.1])"), "\"trained_betas\" holds 1 values for 1000 timesteps"},
        {config_of(ddim, R"("trained_betas":[0.1,2],"num_train_timesteps":2)"), "\"trained_betas\" is out of range"},
        {config_of(ddim, R"("trained_betas":"linear")"), "\"trained_betas\" must be a list of numbers"},
        {config_of(ddim, R"("prediction_type":"flow_prediction")"), "flow_prediction"},
        {config_of(ddim, R"("beta_schedule":"sigmoid")"), "sigmoid"},
        {config_of(ddpm, R"("variance_type":"guessed")"), "guessed"},
        {config_of(dpm, R"("beta_schedule":"exp")"), "\"exp\""},
        {config_of(dpm, R"("variance_type":"learned_range")"), "\"variance_type\""},
        {config_of(dpm, R"("solver_order":4)"), "\"solver_order\" is out of range"},
        {config_of(dpm, R"("algorithm_type":"dpmsolver")"), "needs \"final_sigmas_type\" sigma_min"},
        {config_of(dpm, R"("algorithm_type":"sde-dpmsolver","final_sigmas_type":"sigma_min","solver_order":3)"), "sde-dpmsolver"},
        {config_of(dpm, R"("use_exponential_sigmas":true,"use_beta_sigmas":true)"), "exclude each other"},
        {config_of(dpm, R"("use_lu_lambdas":true,"use_flow_sigmas":true)"), "\"use_lu_lambdas\" and"},
        {config_of("DPMSolverSinglestepScheduler", R"("algorithm_type":"sde-dpmsolver")"), "sde-dpmsolver"},
        {config_of("UniPCMultistepScheduler", R"("use_dynamic_shifting":true)"), "use_dynamic_shifting"},
        {config_of("UniPCMultistepScheduler", R"("solver_p":{})"), "solver_p"},
        {config_of("DEISMultistepScheduler", R"("algorithm_type":"sde-dpmsolver++")"), "sde-dpmsolver++"},
        {config_of("SASolverScheduler", R"("algorithm_type":"dpmsolver++")"), "dpmsolver++"},
        {config_of("SASolverScheduler", R"("variance_type":"learned")"), "\"variance_type\""},
        {config_of("PNDMScheduler", R"("prediction_type":"sample")"), "\"sample\""},
        {config_of("LCMScheduler", R"("original_inference_steps":2000)"), "original_inference_steps"},
        {config_of(dpm, R"("prediction_type":"flow_prediction")"), "use_flow_sigmas"},
        {config_of(dpm, R"("num_train_timesteps":0)"), "\"num_train_timesteps\" is out of range"},
        {config_of(dpm, R"("num_train_timesteps":10.5)"), "must be a whole number"},
        {config_of(dpm, R"("num_train_timesteps":"1000")"), "must be a whole number"},
        {config_of(dpm, R"("beta_start":NaN)"), "must be a number"},
        {config_of(dpm, R"("beta_start":-1)"), "out of range"},
        {config_of(dpm, R"("use_karras_sigmas":1)"), "must be true or false"},
        {config_of(dpm, R"("timestep_spacing":"log")"), "\"log\""},
        {config_of(euler, R"("sigma_max":-80.0)"), "\"sigma_max\""},
        {config_of(euler, R"("timestep_type":"sometimes")"), "sometimes"},
        {config_of(euler, R"("interpolation_type":"cubic")"), "cubic"},
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
    const auto planned = [](const std::string& sampler, const std::string& schedule) {
        ScheduleConfig config = chosen("{}", sampler);
        override_scheduler(config, schedule);
        return plan_steps(config, 10).steps.size();
    };
    const auto refusal = [&](const std::string& sampler, const std::string& schedule) {
        return message_of(ErrorCode::invalid_argument, [&] { static_cast<void>(planned(sampler, schedule)); });
    };
    CHECK(contains(refusal("ddim", "polyexponential"), "discrete, karras, exponential, beta, lu, flow"));
    for (const char* schedule : {"discrete", "karras", "exponential", "beta", "lu"}) CHECK(planned("dpm++2m", schedule) == 10);
    for (const char* schedule : {"discrete", "karras", "exponential", "beta"})
        for (const char* sampler : {"dpm++2s", "unipc", "deis", "sa_solver", "euler"}) CHECK(planned(sampler, schedule) == 10);
    CHECK(contains(refusal("unipc", "lu"), "the lu schedule"));
    for (const char* sampler : {"ddim", "ddpm", "euler_a", "plms", "lcm"}) CHECK(contains(refusal(sampler, "karras"), "karras"));
    CHECK(contains(refusal("euler", "flow"), "the flow schedule"));
    ScheduleConfig flow;
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("flow_euler").make()->plan(flow, 10); }),
                   "flow"));
    flow.prediction = Prediction::flow;
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("euler").make()->plan(flow, 10); }),
                   "predict a flow"));
}

TEST_CASE("samplers: any legal number of steps gives a finite plan with that many, any other an error") {
    for (const SamplerRow& row : samplers()) {
        for (const char* spacing : {"linspace", "leading", "trailing"}) {
            const std::string model = row.name.starts_with("flow_euler") ? "FlowMatchEulerDiscreteScheduler" : "DDIMScheduler";
            const ScheduleConfig config =
                chosen(config_of(model, R"("clip_sample":false,"original_inference_steps":1000,"timestep_spacing":")" +
                                            std::string(spacing) + "\""),
                       row.name);
            const int least = row.name == "pndm" ? 4 : 1;
            for (const int steps : {1, 2, 3, 7, 14, 15, 49, 333, 999, 1000}) {
                const bool lays_out_one_more = plan_steps(config, 4).steps.front().timestep == 800.0;
                if (steps < least || (lays_out_one_more && steps == 1000)) continue;
                INFO(row.name << " " << spacing << " " << steps);
                const SamplerPlan plan = plan_steps(config, steps);  // refuses what is not finite
                const int evaluations = row.name == "heun"                ? 2 * steps - 1
                                        : row.name == "pndm"              ? steps + 9
                                        : row.name == "plms" && steps > 1 ? steps + 1
                                                                          : steps;
                REQUIRE(plan.steps.size() == static_cast<std::size_t>(evaluations));
                CHECK(std::ranges::all_of(plan.steps,
                                          [](const SamplerStep& s) { return s.timestep >= 0.0 && s.timestep <= 1000.0; }));
            }
            for (const int steps : {-1, 0, 1001}) {
                CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(config, steps); }),
                               "between 1 and 1000"));
            }
        }
    }
}

TEST_CASE("iddpm: facebook's respaced chain with a learned variance") {
    const ScheduleConfig config = parse_schedule_config(config_of("SpacedDiffusion", ""), "x");
    CHECK(sampler_for(config).name == "iddpm");
    struct Known {
        int steps;
        std::vector<double> last_timesteps;
        double from_x0, from_x, least, most,
            final;  // of the first step; of the whole chain on a model that says x / 2, without noise
    };
    // facebookresearch/DiT, create_diffusion(str(steps)), evaluated in numpy.
    for (const Known& k : {Known{20, {105, 53, 0}, .006928861, .5936615, -.4346894, -.4346153, 1.465335},
                           Known{50, {41, 20, 0}, .002559454, .8186356, -1.109261, -1.109241, .7846751},
                           Known{250, {8, 4, 0}, .0005127615, .9604553, -2.557231, -2.557228, .5522629}}) {
        INFO(k.steps);
        const SamplerPlan plan = sampler_for(config).make()->plan(config, k.steps);
        REQUIRE(static_cast<int>(plan.steps.size()) == k.steps);
        CHECK(plan.reads_variance);
        const SamplerStep &first = plan.steps.front(), &second_last = plan.steps[plan.steps.size() - 2],
                          &last = plan.steps.back();
        CHECK(first.timestep == 999);
        for (std::size_t i = 0; i < 3; ++i) CHECK(plan.steps[plan.steps.size() - 3 + i].timestep == k.last_timesteps[i]);
        CHECK(first.x0_from_x == Approx(157.4105).epsilon(1e-6));
        CHECK(first.x0_from_model == Approx(-157.4073).epsilon(1e-6));
        CHECK(first.from_x0.front() == Approx(k.from_x0).epsilon(1e-5));
        CHECK(first.from_x == Approx(k.from_x).epsilon(1e-5));
        // At v = −1 the variance is the least, at 1 the most.
        CHECK(2 * (std::log(first.from_noise) - first.variance_slope) == Approx(k.least).epsilon(1e-5));
        CHECK(2 * (std::log(first.from_noise) + first.variance_slope) == Approx(k.most).epsilon(1e-5));
        CHECK(second_last.variance_slope > 0);
        CHECK(last.draws_noise);  // and does not use it
        CHECK(last.from_noise == 0);
        double x = 1;
        for (const SamplerStep& s : plan.steps)
            x = s.from_x * x + s.from_x0.front() * (s.x0_from_x * x + s.x0_from_model * x / 2);
        CHECK(x == Approx(k.final).epsilon(1e-5));
    }
    ScheduleConfig velocity;
    velocity.prediction = Prediction::v_prediction;
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)sampler_by_name("iddpm").make()->plan(velocity, 4); }),
                   "predict the noise"));
}
