// Pictures to PNG files with the `parameters` chunk.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace t2i {

// The bytes of an 8-bit RGB PNG of `width` x `height` pixels; `rgb` is [height, width, 3]. `text`, in UTF-8, goes into a
// `parameters` chunk (tEXt when it is ASCII, else iTXt) unless empty. Throws Error{resource}. From any thread.
[[nodiscard]] std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint8_t> rgb,
                                                   const std::string& text);

}  // namespace t2i
