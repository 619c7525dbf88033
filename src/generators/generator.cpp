#include "generators/generator.h"

#include <algorithm>
#include <cmath>

#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

std::string SettingField::text() const {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
    if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
    return std::get<std::string>(value);
}

std::string GenerationPlan::text_of(std::string_view name) const {
    const auto field = std::ranges::find(fields, name, &SettingField::key);
    return field == fields.end() ? std::string() : field->text();
}

void check_setting_range(const char* field, double value, double low, double high) {
    const auto text = [](double number) {
        constexpr double exact = 1e15;  // whole numbers below it are written whole: 100000, not 1e+05
        if (std::isnan(number)) return std::string("nan");
        return std::abs(number) < exact && number == std::trunc(number) ? std::to_string(static_cast<std::int64_t>(number))
                                                                        : number_text(number);
    };
    if (!(value >= low && value <= high))
        throw Error(ErrorCode::invalid_argument, text(value) + " is out of range [" + text(low) + ", " + text(high) + "]",
                    Field{field});
}

void set_guidance(GenerationPlan& plan, const GenerateRequest& request, double model_scale) {
    plan.cfg_scale = request.cfg_scale.value_or(model_scale);
    check_setting_range("cfg_scale", plan.cfg_scale, 0, 100);
    plan.guided = plan.cfg_scale > 1.0;
}

SettingField guidance_field(const GenerationPlan& plan) {
    return {.key = "cfg_scale", .label = "CFG scale", .value = plan.cfg_scale};
}

void refuse_schedule(const GenerateRequest& request) {
    const auto refuse = [](const char* field, const char* what) {
        throw Error(ErrorCode::invalid_argument, std::string("this model has no ") + what, Field{field});
    };
    if (request.steps) refuse("steps", "denoising steps");
    if (!request.sampler.empty()) refuse("sampler", "samplers");
    if (!request.scheduler.empty()) refuse("scheduler", "noise schedule");
}

void refuse_init_image(const GenerateRequest& request) {
    if (request.init_image.is_given())
        throw Error(ErrorCode::invalid_argument, "this model makes pictures from nothing, not from others", Field{"init_image"});
}

}  // namespace t2i
