// Picture files in memory, whatever their format: what they say about themselves, and their pixels.
//
//     const auto file = read_file(path);
//     const PictureInfo info = read_picture_info(file, path);              // any of PNG, JPEG, WebP, by its first bytes
//     if (const std::string* text = info.parameters()) read_parameters(*text, path);
//     if (info.lossless) compare(decode_picture(file, path), again);       // else the pixels are near what was drawn, no more
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "t2i/picture.h"

namespace t2i {

// What no file of a picture that can be read here comes near, in bytes: 4096x4096 pixels of RGB take 48 MiB unpacked.
constexpr std::size_t longest_picture_file = std::size_t{128} << 20U;

struct PictureInfo {
    PictureFormat format = PictureFormat::png;
    bool lossless = true;                                   // its pixels are the very ones that it was made of
    std::uint32_t width = 0, height = 0;                    // pixels
    std::vector<std::pair<std::string, std::string>> text;  // keyword, UTF-8 value; EXIF's user comment is "parameters", too
    // How t2i made it; null where the file does not say. Lives as long as this.
    [[nodiscard]] const std::string* parameters() const;
};

// Whether a file begins as one of a known format does. From any thread.
[[nodiscard]] bool begins_as_picture(std::span<const std::uint8_t> file);

// By the file's first bytes; its name does not count. Throws Error{input}: another format, damaged, cut short; `where` names the
// file. Of JPEG and WebP the headers are checked, not the pixels. From any thread.
[[nodiscard]] PictureInfo read_picture_info(std::span<const std::uint8_t> file, const std::string& where);

// Pixels with their alpha, four values each.
struct RgbaPicture {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgba;  // [height, width, 4]
};
// What a person sees of it on white: rgb = (rgb·alpha + 255·(255 − alpha)) / 255, rounded.
[[nodiscard]] Image over_white(const RgbaPicture& picture);
// How transparent it is, as a grey picture: white where nothing is to be seen. OpenAI's masks say so what is to be drawn anew. A
// JPEG is nowhere transparent. Throws as decode_picture(). From any thread.
[[nodiscard]] Image decode_transparency(std::span<const std::uint8_t> file, const std::string& where);

// The pixels as 8-bit RGB, up to longest_read_side; over white where they are transparent. Throws Error{input}, for damage
// anywhere. From any thread.
[[nodiscard]] Image decode_picture(std::span<const std::uint8_t> file, const std::string& where);

}  // namespace t2i
