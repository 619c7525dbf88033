#include "pipeline/request.h"

#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace {

void check_range(const char* field, double value, double low, double high) {
    if (!(value >= low && value <= high))
        throw Error(ErrorCode::invalid_argument,
                    number_text(value) + " is out of range [" + number_text(low) + ", " + number_text(high) + "]", Field{field});
}

void check_size(const char* field, int size, std::int64_t multiple) {
    check_range(field, size, static_cast<double>(multiple), 4096);
    if (size % multiple != 0) {
        const auto below = size / multiple * multiple;
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(size) + " is not divisible by " + std::to_string(multiple) +
                        " (nearest: " + std::to_string(below) + ", " + std::to_string(below + multiple) + ")",
                    Field{field});
    }
}

}  // namespace

ResolvedRequest resolve(const GenerateRequest& request, const ModelInfo& info, const ScheduleConfig& schedule,
                        std::int64_t factor, std::int64_t patch) {
    ResolvedRequest r;
    r.prompt = request.prompt;
    r.negative_prompt = request.negative_prompt;
    r.seed = request.seed;
    r.count = request.count;
    r.width = request.width.value_or(info.width);
    r.height = request.height.value_or(info.height);
    r.cfg_scale = request.cfg_scale.value_or(info.cfg_scale);
    r.guided = r.cfg_scale > 1.0;
    const int steps = request.steps.value_or(info.steps);
    check_range("steps", steps, 1, 1000);
    check_range("cfg_scale", r.cfg_scale, 0, 100);
    check_range("count", r.count, 1, 100000);
    check_size("width", r.width, factor * patch);
    check_size("height", r.height, factor * patch);

    ScheduleConfig config = schedule;
    if (!request.sampler.empty()) override_sampler(config, request.sampler);
    if (!request.scheduler.empty()) override_scheduler(config, request.scheduler);
    const SamplerRow& row = sampler_for(config);
    r.sampler = row.name;
    r.scheduler = request.scheduler;
    r.plan = row.make()->plan(config, steps);
    return r;
}

}  // namespace t2i
