// A PixArt transformer with random weights, to time shapes whose checkpoint is not at hand.
#pragma once

#include <string>

namespace t2i::app {

struct PixArtShape {
    std::string name;
    int layers, heads, head_size, patch, caption_channels, out_channels;
};

// "pixart-xl-2" (28 layers, 16 heads of 72, 611 M parameters), "pixart-tiny" (2 layers, 2 heads, for tests). Throws Error{usage} listing the names for another.
[[nodiscard]] PixArtShape random_model_shape(const std::string& name);

// Writes config.json and bf16 weights (uniform, variance 1 / fan-in; a fixed seed) into `folder`, which exists.
void write_random_pixart(const PixArtShape& shape, const std::string& folder);

}  // namespace t2i::app
