// JPEG files, by libjpeg-turbo; the parameters are EXIF's user comment.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/picture_read.h"

namespace t2i {

// The most UTF-16 code units of text that fit into a file: its EXIF block is one segment of at most 64 KiB.
constexpr std::size_t longest_jpeg_text = 32'700;

[[nodiscard]] bool is_jpeg(std::span<const std::uint8_t> file);

// Baseline, 4:4:4: halved chroma smears the coloured edges of drawings. `rgb` is [height, width, 3], `text` UTF-8 and may be
// empty, quality 1 to 100. The same bytes for the same arguments and build of libjpeg-turbo. Throws Error: input (text that is
// too long or not UTF-8), resource. From any thread.
[[nodiscard]] std::vector<std::uint8_t> encode_jpeg(int width, int height, std::span<const std::uint8_t> rgb,
                                                    const std::string& text, int quality);

// See read_picture_info() and decode_picture(); pixels stand upright, however the camera was held.
[[nodiscard]] PictureInfo read_jpeg_info(std::span<const std::uint8_t> file, const std::string& where);
[[nodiscard]] Image decode_jpeg(std::span<const std::uint8_t> file, const std::string& where);

}  // namespace t2i
