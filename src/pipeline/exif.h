// EXIF blocks of JPEG and WebP files: the tag that holds a picture's parameters, and the one that says how it is turned.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// A block whose UserComment is `text`: a big-endian TIFF header, two folders, "UNICODE" and UTF-16, as AUTOMATIC1111 writes it
// through piexif. Throws Error{input} when `text` is not UTF-8. From any thread.
[[nodiscard]] std::vector<std::uint8_t> exif_with_comment(std::string_view text);

// The UserComment as UTF-8; nothing where there is none, an empty one, or one in an encoding that nobody writes (JIS). UTF-16 is
// read in either byte order, whatever the block's own is: programs disagree. Text over 1 MiB is none. Throws Error{input} naming
// `where`: no TIFF header, or a folder that reaches past the end. From any thread.
[[nodiscard]] std::optional<std::string> read_exif_comment(std::span<const std::uint8_t> exif, const std::string& where);

// How a camera was held, from 1 (upright) to 8, as `upright` in picture_fit.h reads it; 1 where the block does not say, or is
// damaged: pixels are pixels. From any thread.
[[nodiscard]] int read_exif_orientation(std::span<const std::uint8_t> exif);

}  // namespace t2i
