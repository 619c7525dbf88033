// The formats of picture files, one table: what they are called and how their files' names end.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "t2i/picture.h"

namespace t2i {

struct PictureFormatRow {
    PictureFormat format;
    const char* name;                            // in a sentence: "JPEG"
    const char* id;                              // for flags and programs: "jpg"
    std::array<std::string_view, 2> extensions;  // of file names, with the dot, the usual one first; "": no second one
    bool has_quality, is_lossless, can_be_lossless;
};

[[nodiscard]] std::span<const PictureFormatRow> picture_formats();
[[nodiscard]] const PictureFormatRow& row_of(PictureFormat format);

// ".png", ".jpg", ".webp".
[[nodiscard]] std::string extension_of(PictureFormat format);
// Of ".JPG" or ".jpeg", whatever the case; nothing for others.
[[nodiscard]] std::optional<PictureFormat> format_of_extension(std::string_view extension);
// ".png, .jpg, .jpeg or .webp".
[[nodiscard]] std::string known_extensions();

// Throws Error{invalid_argument} about the field format (none that there is) or quality: out of range, of a format without
// quality, lossless where there is no such.
void check_encoding(const PictureEncoding& encoding);
// "png", "jpg 90", "webp lossless": what two files with the same pixels can differ in.
[[nodiscard]] std::string encoding_text(const PictureEncoding& encoding);
// Of an encoding that leaves it open, and of one that names it.
[[nodiscard]] int quality_of(const PictureEncoding& encoding);

// No reader takes pictures with a longer side, in pixels: more cannot be asked for, and a header alone could claim gigabytes.
constexpr int longest_read_side = 4096;
// Throws Error{input} naming the file where one is longer.
void check_read_size(std::uint32_t width, std::uint32_t height, const std::string& where);

}  // namespace t2i
