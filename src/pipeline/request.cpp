#include "pipeline/request.h"

#include "t2i/error.h"

namespace t2i {

namespace {

void check_size(const char* field, int size, std::int64_t multiple) {
    check_setting_range(field, size, static_cast<double>(multiple), longest_side);
    if (size % multiple != 0) {
        const auto below = size / multiple * multiple;
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(size) + " is not divisible by " + std::to_string(multiple) +
                        " (nearest: " + std::to_string(below) + ", " + std::to_string(below + multiple) + ")",
                    Field{field});
    }
}

}  // namespace

ResolvedRequest resolve(const GenerateRequest& request, const RequestRules& rules, const PictureSizes& sizes) {
    ResolvedRequest r;
    r.prompt = request.prompt;
    r.negative_prompt = request.negative_prompt;
    r.seed = request.seed;
    r.count = request.count;
    r.width = request.width.value_or(sizes.side);
    r.height = request.height.value_or(sizes.side);
    check_setting_range("count", r.count, 1, most_pictures);
    check_size("width", r.width, sizes.multiple);
    check_size("height", r.height, sizes.multiple);
    GenerateRequest sized = request;
    sized.width = r.width;
    sized.height = r.height;
    r.plan = rules.plan(sized);
    r.steps = r.plan->steps;
    r.cfg_scale = r.plan->cfg_scale;
    r.guided = r.plan->guided;
    r.batch_key = std::to_string(r.width) + "x" + std::to_string(r.height) + "|" + r.plan->key;
    return r;
}

}  // namespace t2i
