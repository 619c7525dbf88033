#include "pipeline/request.h"

#include <algorithm>
#include <cmath>

#include "pipeline/picture_fit.h"
#include "t2i/error.h"

namespace t2i {

namespace {

void check_size(const char* field, int size, const PictureSizes& sizes) {
    check_setting_range(field, size, static_cast<double>(sizes.multiple), longest_side);
    if (size % sizes.multiple != 0) {
        const auto below = size / sizes.multiple * sizes.multiple;
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(size) + " is not divisible by " + std::to_string(sizes.multiple) +
                        " (nearest: " + std::to_string(below) + ", " + std::to_string(below + sizes.multiple) +
                        (sizes.bins.empty() ? "" : "; with resolution binning, any") + ")",
                    Field{field});
    }
}

// diffusers' classify_height_width_bin: of shapes equally near the first, the wider one.
void choose_drawn_size(ResolvedRequest& r, const PictureSizes& sizes) {
    const Field field{"resolution_binning"};
    if (sizes.bins.empty())
        throw Error(ErrorCode::invalid_argument, "this model has no table of sizes to draw at; PixArt has, of 256 to 2048 pixels",
                    field);
    check_setting_range("width", r.width, 1, longest_side);
    check_setting_range("height", r.height, 1, longest_side);
    const double shape = static_cast<double>(r.height) / r.width;
    const SizeBin& bin = *std::ranges::min_element(sizes.bins, {}, [&](const SizeBin& b) { return std::abs(b.ratio - shape); });
    r.drawn_width = bin.width;
    r.drawn_height = bin.height;
    if (bin.width % sizes.multiple != 0 || bin.height % sizes.multiple != 0)
        throw Error(ErrorCode::invalid_argument,
                    "would draw at " + std::to_string(bin.width) + "x" + std::to_string(bin.height) +
                        ", and this decoder needs multiples of " + std::to_string(sizes.multiple),
                    field);
}

// What a request without a picture to begin with cannot say.
void check_init_image(const GenerateRequest& request) {
    static_cast<void>(fit_named(request.resize_mode));
    const auto refuse_without = [](const char* needed, const char* field) {
        throw Error(ErrorCode::invalid_argument, std::string("says nothing without ") + needed, Field{field});
    };
    if (!request.init_image.is_given()) {
        constexpr const char* needed = "a picture to begin with (init_image)";
        if (request.mask.is_given()) refuse_without(needed, "mask");
        if (request.strength) refuse_without(needed, "strength");
        if (!request.resize_mode.empty()) refuse_without(needed, "resize_mode");
    }
    if (request.keep_unmasked.value_or(false) && !request.mask.is_given()) refuse_without("a mask", "keep_unmasked");
    if (request.init_image.is_given() && request.resolution_binning.value_or(false))
        throw Error(ErrorCode::invalid_argument,
                    "is for pictures made from nothing; one that begins with init_image has its size",
                    Field{"resolution_binning"});
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
    r.drawn_width = r.width;
    r.drawn_height = r.height;
    r.clean_caption = request.clean_caption.value_or(false);
    r.resolution_binning = request.resolution_binning.value_or(false);
    if (r.resolution_binning) {
        choose_drawn_size(r, sizes);
    } else {
        check_size("width", r.width, sizes);
        check_size("height", r.height, sizes);
    }
    check_init_image(request);
    r.keep_unmasked = request.keep_unmasked.value_or(false);
    GenerateRequest sized = request;
    sized.width = r.drawn_width;
    sized.height = r.drawn_height;
    r.plan = rules.plan(sized);
    r.steps = r.plan->steps;
    r.cfg_scale = r.plan->cfg_scale;
    r.guided = r.plan->guided;
    const auto size = [](int width, int height) { return std::to_string(width) + "x" + std::to_string(height) + "|"; };
    r.batch_key = size(r.width, r.height) + r.plan->key;
    if (r.keep_unmasked) r.batch_key += "unmasked|";
    if (r.resolution_binning) r.batch_key += "drawn " + size(r.drawn_width, r.drawn_height);
    return r;
}

}  // namespace t2i
