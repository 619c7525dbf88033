#include "generators/diffusion.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/json_options.h"
#include "core/nearest.h"
#include "core/stand_in.h"
#include "generators/denoise.h"
#include "sampling/sampler.h"
#include "t2i/error.h"

namespace t2i {

namespace {

JsonOptions as_class(JsonOptions file, const std::string& class_name) {
    return class_name.empty() ? std::move(file) : file.with({{"_class_name", class_name}});
}

// AUTOMATIC1111's and stable-diffusion.cpp's.
constexpr double default_strength = 0.75;

class DiffusionRules final : public RequestRules {
  public:
    DiffusionRules(JsonOptions schedule, const GenerationDefaults& defaults, OneStep one_step)
        : schedule_(std::move(schedule)), defaults_(defaults), one_step_(one_step) {}

    [[nodiscard]] std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& request) const override {
        auto plan = std::make_shared<GenerationPlan>();
        const int steps = request.steps.value_or(defaults_.steps);
        check_setting_range("steps", steps, 1, most_steps);
        set_guidance(*plan, request, defaults_.cfg_scale);
        std::string sampler = request.sampler, scheduler = request.scheduler;
        translate_sampler(sampler, scheduler);
        ScheduleConfig config = sampler.empty() ? read_schedule(schedule_) : read_schedule(schedule_, sampler);
        if (config.prediction == Prediction::flow && is_for_noise(scheduler)) {
            plan->remark = "a model that predicts a flow keeps its own schedule, not " + in_quotes(scheduler);
            scheduler.clear();
        }
        if (!scheduler.empty()) override_scheduler(config, scheduler);
        const double strength = request.strength.value_or(default_strength);
        check_setting_range("strength", strength, 0, 1);
        const bool has_picture = request.init_image.is_given();
        SamplerPlan sampled = plan_steps(config, steps, has_picture ? first_step(steps, strength, config.prediction) : 0);
        if (steps == 1 && one_step_ == OneStep::predicted) end_in_x0(sampled, config);
        sampled.has_mask = request.mask.is_given();
        // With a mask and at full strength diffusers begins with noise alone; without one there is always a trace of the picture.
        sampled.begins_with_picture = has_picture && !(sampled.has_mask && strength == 1.0);
        plan->steps = static_cast<int>(sampled.steps.size());
        plan->own = std::move(sampled);
        plan->fields = {{.key = "steps", .label = "Steps", .value = std::int64_t{steps}},
                        {.key = "sampler", .label = "Sampler", .value = sampler_for(config).name},
                        {.key = "scheduler", .label = "Schedule type", .value = scheduler},
                        guidance_field(*plan)};
        if (has_picture) plan->fields.push_back({.key = "strength", .label = "Denoising strength", .value = strength});
        for (const SettingField& field : plan->fields) plan->key += field.text() + "|";
        if (request.mask.is_given()) plan->key += "mask|";
        return plan;
    }

    // Of a schedule that is not supported: the name of its class.
    [[nodiscard]] std::string default_sampler() const override {
        try {
            return sampler_for(read_schedule(schedule_)).name;
        } catch (const Error&) {
            const auto* name = schedule_.find("_class_name");
            return name != nullptr && name->is_string() ? name->get<std::string>() : std::string();
        }
    }

  private:
    // The schedules of models that predict noise.
    static bool is_for_noise(const std::string& scheduler) {
        return scheduler != "flow" && std::ranges::find(schedules(), scheduler) != schedules().end();
    }

    JsonOptions schedule_;
    GenerationDefaults defaults_;
    OneStep one_step_;
};

class Diffusion final : public Generator {
  public:
    explicit Diffusion(std::unique_ptr<Denoiser> denoiser) : denoiser_(std::move(denoiser)) {}

    [[nodiscard]] GridFormat writes() const override { return {GridFormat::Kind::latents, denoiser_->channels()}; }
    [[nodiscard]] std::int64_t classes() const override { return denoiser_->classes(); }
    [[nodiscard]] std::int64_t text_width() const override { return denoiser_->text_width(); }
    [[nodiscard]] std::unique_ptr<GeneratorRun> begin(const ExecContext& ctx, const RunSettings& settings) const override {
        const auto* plan = std::any_cast<SamplerPlan>(&settings.plan->own);
        T2I_CHECK(plan, "a plan of another generator");
        return std::make_unique<DenoiseLoop>(ctx, *denoiser_, settings, *plan);
    }

  private:
    std::unique_ptr<Denoiser> denoiser_;
};

}  // namespace

std::unique_ptr<RequestRules> make_diffusion_rules(const std::string& json, const std::string& where,
                                                   const GenerationDefaults& defaults, const std::string& class_name,
                                                   OneStep one_step) {
    return std::make_unique<DiffusionRules>(as_class(JsonOptions::parse(json, where), class_name), defaults, one_step);
}

std::vector<std::string> schedule_files(const std::string& folder) {
    return {(std::filesystem::path(folder) / "scheduler_config.json").string()};
}

std::unique_ptr<RequestRules> read_diffusion_rules(const std::string& folder, const std::string& class_name,
                                                   const GenerationDefaults& defaults, OneStep one_step) {
    const std::string path = schedule_files(folder).front();
    return make_diffusion_rules(read_downloaded_file(path, std::size_t{16} << 20), path, defaults, class_name, one_step);
}

std::unique_ptr<Generator> make_diffusion(std::unique_ptr<Denoiser> denoiser) {
    return std::make_unique<Diffusion>(std::move(denoiser));
}

}  // namespace t2i
