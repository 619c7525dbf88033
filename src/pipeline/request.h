// A GenerateRequest checked against a model, with every default filled in.
#pragma once

#include <memory>
#include <string>

#include "generators/model_folder.h"
#include "t2i/pipeline.h"

namespace t2i {

constexpr int most_pictures = 100'000;  // of one request
constexpr int longest_side = 4096;      // pixels

struct StartPicture;

struct ResolvedRequest {
    std::string prompt, negative_prompt;
    std::shared_ptr<const StartPicture> start{};  // what it begins with, once read_start() has read it; null: noise alone
    std::uint64_t seed = 42;
    int width = 0, height = 0, count = 1;
    int drawn_width = 0, drawn_height = 0;  // another size than the picture's where resolution_binning says so
    bool clean_caption = false, resolution_binning = false;
    bool keep_unmasked = false;  // of a request with a mask
    double cfg_scale = 1.0;
    bool guided = false;                         // the negative prompt is read
    int steps = 1;                               // units of progress of a picture
    std::shared_ptr<const GenerationPlan> plan;  // the generator's: opaque but for its named settings
    // Everything but prompt and seed that pictures made in one batch have in common: equal keys may share one.
    std::string batch_key;
};

// Needs no weights, see ModelFolder::rules and read_picture_sizes(), and reads no picture: `start` stays null. Throws
// Error{invalid_argument} naming the field and the range.
[[nodiscard]] ResolvedRequest resolve(const GenerateRequest& request, const RequestRules& rules, const PictureSizes& sizes);

}  // namespace t2i
