#include "pipeline/request.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "t2i/error.h"

namespace t2i {

namespace {

// Shortest decimal that reads back as the same double.
std::string number_text(double x) {
    char buffer[32];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, x);
    return {buffer, end};
}

void check_range(const char* flag, double value, double low, double high) {
    if (!(value >= low && value <= high))
        throw Error(ErrorCode::usage, number_text(value) + " is out of range [" + number_text(low) + ", " + number_text(high) + "]", flag);
}

void check_size(const char* flag, int size, std::int64_t multiple) {
    check_range(flag, size, static_cast<double>(multiple), 4096);
    if (size % multiple != 0) {
        const auto below = size / multiple * multiple;
        throw Error(ErrorCode::usage, std::to_string(size) + " is not divisible by " + std::to_string(multiple) + " (nearest: " +
                                          std::to_string(below) + ", " + std::to_string(below + multiple) + ")",
                    flag);
    }
}

// Values that hold a comma, colon or newline are JSON strings, so that a reader can split at commas.
std::string field(const std::string& value) {
    if (value.find_first_of(",:\n\"") == std::string::npos) return value;
    return nlohmann::json(value).dump();
}

}  // namespace

ResolvedRequest resolve(const GenerateRequest& request, const ModelInfo& info, const ScheduleConfig& schedule, std::int64_t factor,
                        std::int64_t patch) {
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
    check_range("--steps", steps, 1, 1000);
    check_range("--cfg-scale", r.cfg_scale, 0, 100);
    check_range("--batch-count", r.count, 1, 100000);
    check_size("--width", r.width, factor * patch);
    check_size("--height", r.height, factor * patch);

    ScheduleConfig config = schedule;
    if (!request.sampler.empty()) override_sampler(config, request.sampler);
    if (!request.scheduler.empty()) override_scheduler(config, request.scheduler);
    const SamplerRow& row = sampler_for(config);
    r.sampler = row.name;
    r.plan = row.make()->plan(config, steps);
    return r;
}

std::string parameters_text(const ResolvedRequest& r, const ModelInfo& info, std::uint64_t seed) {
    std::string text = r.prompt;
    if (!r.negative_prompt.empty()) text += "\nNegative prompt: " + r.negative_prompt;
    text += "\nSteps: " + std::to_string(r.plan.steps.size()) + ", Sampler: " + field(r.sampler) +
            ", CFG scale: " + number_text(r.cfg_scale) + ", Seed: " + std::to_string(seed) + ", Size: " + std::to_string(r.width) + "x" +
            std::to_string(r.height) + ", Model hash: " + info.hash + ", Model: " + field(info.name) + ", Device: " + field(info.device) +
            ", Dtype: " + info.dtype + ", Version: t2i " T2I_VERSION;
    return text;
}

}  // namespace t2i
