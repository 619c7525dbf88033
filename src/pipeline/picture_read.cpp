#include "pipeline/picture_read.h"

#include <algorithm>
#include <optional>

#include "pipeline/jpeg.h"
#include "pipeline/png_format.h"
#include "pipeline/png_read.h"
#include "pipeline/webp.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// What is shorter than a signature may be the start of a PNG: its reader says what is wrong.
std::optional<PictureFormat> known_format(std::span<const std::uint8_t> file) {
    if (is_jpeg(file)) return PictureFormat::jpeg;
    if (is_webp(file)) return PictureFormat::webp;
    if (!file.empty() &&
        std::equal(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(std::min(file.size(), png_signature.size())),
                   png_signature.begin()))
        return PictureFormat::png;
    return std::nullopt;
}

PictureFormat format_of(std::span<const std::uint8_t> file, const std::string& where) {
    if (const auto format = known_format(file)) return *format;
    throw Error(ErrorCode::input, "not a PNG, JPEG or WebP file", where);
}

}  // namespace

const std::string* PictureInfo::parameters() const {
    const auto found = std::ranges::find(text, "parameters", &std::pair<std::string, std::string>::first);
    return found == text.end() ? nullptr : &found->second;
}

bool begins_as_picture(std::span<const std::uint8_t> file) {
    return known_format(file).has_value();
}

PictureInfo read_picture_info(std::span<const std::uint8_t> file, const std::string& where) {
    switch (format_of(file, where)) {
        case PictureFormat::jpeg:
            return read_jpeg_info(file, where);
        case PictureFormat::webp:
            return read_webp_info(file, where);
        case PictureFormat::png:
            break;
    }
    PngInfo png = read_png_info(file, where);
    return {
        .format = PictureFormat::png, .lossless = true, .width = png.width, .height = png.height, .text = std::move(png.text)};
}

Image over_white(const RgbaPicture& picture) {
    Image image{.width = picture.width, .height = picture.height, .rgb = {}, .seed = 0, .parameters = {}};
    image.rgb.reserve(picture.rgba.size() / 4 * 3);
    for (std::size_t i = 0; i < picture.rgba.size(); i += 4) {
        const unsigned alpha = picture.rgba[i + 3];
        for (std::size_t c = 0; c < 3; ++c)
            image.rgb.push_back(static_cast<std::uint8_t>((picture.rgba[i + c] * alpha + 255U * (255U - alpha) + 127U) / 255U));
    }
    return image;
}

Image decode_transparency(std::span<const std::uint8_t> file, const std::string& where) {
    const PictureFormat format = format_of(file, where);
    if (format == PictureFormat::jpeg) {
        Image image = decode_jpeg(file, where);
        std::ranges::fill(image.rgb, std::uint8_t{0});
        return image;
    }
    const RgbaPicture picture = format == PictureFormat::webp ? decode_webp_rgba(file, where) : decode_png_rgba(file, where);
    Image image{.width = picture.width, .height = picture.height, .rgb = {}, .seed = 0, .parameters = {}};
    for (std::size_t i = 3; i < picture.rgba.size(); i += 4) image.rgb.insert(image.rgb.end(), 3, 255 - picture.rgba[i]);
    return image;
}

Image decode_picture(std::span<const std::uint8_t> file, const std::string& where) {
    switch (format_of(file, where)) {
        case PictureFormat::jpeg:
            return decode_jpeg(file, where);
        case PictureFormat::webp:
            return decode_webp(file, where);
        case PictureFormat::png:
            break;
    }
    return decode_png(file, where);
}

}  // namespace t2i
