// Picture files in memory, of every format that the program t2i writes, and what such a file says about its picture.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "t2i/export.h"
#include "t2i/pipeline.h"

namespace t2i {

enum class PictureFormat { png = 1, jpeg = 2, webp = 3 };

// How a picture is written.
struct PictureEncoding {
    PictureFormat format = PictureFormat::png;
    int quality = 0;        // of JPEG and of WebP that is not lossless: 1 to 100; 0: 90
    bool lossless = false;  // of WebP: the file holds the very pixels, as a PNG always does
};

// The bytes of an 8-bit RGB file. Image::parameters go along unless they are empty: into the `parameters` chunk of a PNG, into
// the EXIF user comment of a JPEG or WebP, as AUTOMATIC1111 writes them. Throws Error: invalid_argument (about rgb: not width *
// height * 3 bytes; about quality: out of range, or of a format that has none), input (parameters that are not UTF-8 or too long
// for a JPEG: over 32,000 characters), resource. From any thread.
[[nodiscard]] T2I_API std::vector<std::uint8_t> encode_picture(const Image& image, const PictureEncoding& encoding = {});

// How the picture of a PNG, JPEG or WebP file was made, as Image::parameters has it; empty where the file does not say.
// Throws Error{input}: another format, damaged, cut short. From any thread.
[[nodiscard]] T2I_API std::string read_picture_parameters(std::span<const std::uint8_t> file);

}  // namespace t2i
