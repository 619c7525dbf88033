// PNG files in memory: pictures as the program t2i writes them, and what such a file says about its picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "t2i/export.h"
#include "t2i/pipeline.h"

namespace t2i {

// The bytes of an 8-bit RGB PNG file, with Image::parameters in its `parameters` chunk unless that is empty. Throws Error:
// invalid_argument (about rgb: not width * height * 3 bytes), resource. From any thread.
[[nodiscard]] T2I_API std::vector<std::uint8_t> encode_png(const Image& image);

// A text chunk of a PNG file (tEXt, zTXt, iTXt).
struct PngText {
    std::string keyword, text;  // UTF-8
};
// All of them in the file's order; "parameters" is how a picture of t2i was made. Throws Error{input}: no PNG, damaged, cut
// short. From any thread.
[[nodiscard]] T2I_API std::vector<PngText> read_png_text(std::span<const std::uint8_t> file);

}  // namespace t2i
