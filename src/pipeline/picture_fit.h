// 8-bit pictures brought to another size, as Pillow does it: what diffusers, AUTOMATIC1111 and most clients do to a picture that
// a request begins with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i {

// How a picture of another shape comes to its new size (GenerateRequest::resize_mode).
enum class Fit : std::uint8_t {
    crop,     // it covers the new picture, and what stands out on two sides is cut off
    stretch,  // each side by itself
    fill,     // it stands inside the new picture, and its outermost rows or columns fill the rest
};
struct FitRow {
    const char* name;
    Fit fit;
};
[[nodiscard]] const std::vector<FitRow>& fits();
// Of a name; empty: crop. Throws Error{invalid_argument} about the field resize_mode.
[[nodiscard]] Fit fit_named(const std::string& name);

// Image.resize(…, LANCZOS) of Pillow, to the bit: a window of 3 pixels of whichever picture is coarser, by whole numbers, first
// along rows. rgb: [height, width, 3]; sizes in pixels, at least one.
[[nodiscard]] Image resize_lanczos(const Image& picture, int width, int height);
// The same in the shape that is asked for; crop as VaeImageProcessor of diffusers.
[[nodiscard]] Image fit_picture(const Image& picture, int width, int height, Fit fit);

// The picture turned and mirrored from how a camera held it, as EXIF's Orientation counts (Exif 2.32, 4.6.4): 1 is upright, 3
// upside down, 6 and 8 on its left and right side, 2, 4, 5 and 7 mirrored.
[[nodiscard]] Image upright(Image picture, int orientation);

}  // namespace t2i
