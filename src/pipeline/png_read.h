// PNG files in memory: size, text chunks, pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i {

struct PngInfo {
    std::uint32_t width = 0, height = 0;                    // pixels
    std::vector<std::pair<std::string, std::string>> text;  // keyword, UTF-8 value, in file order
};
// Reads header and text chunks; checks signature, lengths and CRCs. Compressed text (zTXt, or iTXt with its flag set) is
// inflated up to 1 MiB. Throws Error{input}; `where` names the file. From any thread.
[[nodiscard]] PngInfo read_png_info(std::span<const std::uint8_t> file, const std::string& where);

struct RgbaPicture;
// The pixels, up to 4096x4096, with their alpha or over white. Check what read_png_info() checks. Throw Error{input}. From any
// thread.
[[nodiscard]] RgbaPicture decode_png_rgba(std::span<const std::uint8_t> file, const std::string& where);
[[nodiscard]] Image decode_png(std::span<const std::uint8_t> file, const std::string& where);

}  // namespace t2i
