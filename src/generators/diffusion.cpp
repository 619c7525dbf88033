#include "generators/diffusion.h"

#include <filesystem>

#include "core/files.h"
#include "core/nearest.h"
#include "generators/denoise.h"
#include "sampling/sampler.h"
#include "t2i/error.h"

namespace t2i {

namespace {

class DiffusionRules final : public RequestRules {
  public:
    DiffusionRules(ScheduleConfig schedule, const GenerationDefaults& defaults)
        : schedule_(std::move(schedule)), defaults_(defaults) {}

    [[nodiscard]] std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& request) const override {
        auto plan = std::make_shared<GenerationPlan>();
        plan->steps = request.steps.value_or(defaults_.steps);
        check_setting_range("steps", plan->steps, 1, most_steps);
        set_guidance(*plan, request, defaults_.cfg_scale);
        ScheduleConfig config = schedule_;
        std::string sampler = request.sampler, scheduler = request.scheduler;
        if (translate_sampler(sampler, scheduler) && config.prediction == Prediction::flow) {
            // AUTOMATIC1111 has no other name for the sampler.
            plan->remark =
                "a model that predicts a flow keeps its own schedule: of " + in_quotes(request.sampler) + " the sampler counts";
            scheduler.clear();
        }
        if (!sampler.empty()) override_sampler(config, sampler);
        if (!scheduler.empty()) override_scheduler(config, scheduler);
        const SamplerRow& row = sampler_for(config);
        plan->own = row.make()->plan(config, plan->steps);
        plan->fields = {{.key = "steps", .label = "Steps", .value = std::int64_t{plan->steps}},
                        {.key = "sampler", .label = "Sampler", .value = row.name},
                        {.key = "scheduler", .label = "Schedule type", .value = scheduler},
                        guidance_field(*plan)};
        for (const SettingField& field : plan->fields) plan->key += field.text() + "|";
        return plan;
    }

    [[nodiscard]] std::string default_sampler() const override { return sampler_for(schedule_).name; }

  private:
    ScheduleConfig schedule_;
    GenerationDefaults defaults_;
};

class Diffusion final : public Generator {
  public:
    explicit Diffusion(std::unique_ptr<Denoiser> denoiser) : denoiser_(std::move(denoiser)) {}

    [[nodiscard]] GridFormat writes() const override { return {GridFormat::Kind::latents, denoiser_->channels()}; }
    [[nodiscard]] std::int64_t classes() const override { return denoiser_->classes(); }
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
                                                   const GenerationDefaults& defaults) {
    return std::make_unique<DiffusionRules>(parse_schedule_config(json, where), defaults);
}

std::vector<std::string> schedule_files(const std::string& folder) {
    return {(std::filesystem::path(folder) / "scheduler_config.json").string()};
}

std::unique_ptr<RequestRules> read_diffusion_rules(const std::string& folder, const GenerationDefaults& defaults) {
    const std::string path = schedule_files(folder).front();
    return make_diffusion_rules(read_text_file(path, std::size_t{16} << 20), path, defaults);
}

std::unique_ptr<Generator> make_diffusion(std::unique_ptr<Denoiser> denoiser) {
    return std::make_unique<Diffusion>(std::move(denoiser));
}

}  // namespace t2i
