// WebP files, by libwebp; the parameters are EXIF's user comment.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/picture_read.h"

namespace t2i {

[[nodiscard]] bool is_webp(std::span<const std::uint8_t> file);

// `rgb` is [height, width, 3] of at most 16383 pixels a side, `text` UTF-8 and may be empty. quality 1 to 100, of no account
// where lossless. The same bytes for the same arguments and build of libwebp. Throws Error: input (text that is not UTF-8),
// invalid_argument (a side that is too long), resource. From any thread.
[[nodiscard]] std::vector<std::uint8_t> encode_webp(int width, int height, std::span<const std::uint8_t> rgb,
                                                    const std::string& text, int quality, bool lossless);

// See read_picture_info() and decode_picture(). An animation is an error.
[[nodiscard]] PictureInfo read_webp_info(std::span<const std::uint8_t> file, const std::string& where);
[[nodiscard]] RgbaPicture decode_webp_rgba(std::span<const std::uint8_t> file, const std::string& where);
[[nodiscard]] Image decode_webp(std::span<const std::uint8_t> file, const std::string& where);

}  // namespace t2i
