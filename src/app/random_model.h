// Transformers with random weights, to time shapes whose checkpoint is not at hand.
#pragma once

#include <string>

#include "models/registry.h"

namespace t2i::app {

struct RandomShape {
    std::string name;
    int layers, heads, head_size, patch;
    int caption_channels;  // PixArt's: width of its text
    int classes;           // above 0: a class-conditional DiT
};

// "pixart-xl-2" (28 layers, 16 heads of 72, 611 M parameters), "dit-xl-2" (as many layers and heads, 675 M), "dit-s-2" (12
// layers, 6 heads of 64), "pixart-tiny" and "dit-tiny" (2 layers, 2 heads of 72, for tests). Throws Error{invalid_argument}
// listing the names for another.
[[nodiscard]] RandomShape random_model_shape(const std::string& name);
[[nodiscard]] std::string random_model_names();

// Writes config.json and bf16 weights (uniform, variance 1 / fan-in; a fixed seed) into `folder`, which exists.
void write_random_model(const RandomShape& shape, const std::string& folder);

// What such a model is told to draw, `rows` times (scripts/bench/vs_torch.py does the same): text of normal numbers, as long as
// text_tokens, in the backend's memory; or labels, first half no class, then classes 0, 1, 2 …
[[nodiscard]] Conditioning random_conditioning(const ExecContext& ctx, const RandomShape& shape, std::int64_t rows,
                                               std::int64_t text_tokens);

}  // namespace t2i::app
