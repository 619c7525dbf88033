// The public functions about picture files.
#include <algorithm>

#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"
#include "pipeline/picture_read.h"
#include "pipeline/png_read.h"
#include "t2i/error.h"
#include "t2i/picture.h"
#include "t2i/png.h"
#include "text/unicode.h"

namespace t2i {

std::vector<std::uint8_t> encode_picture(const Image& image, const PictureEncoding& encoding) {
    const auto wanted =
        static_cast<std::uint64_t>(std::max(image.width, 0)) * static_cast<std::uint64_t>(std::max(image.height, 0)) * 3;
    if (wanted == 0 || image.rgb.size() != wanted)
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(image.rgb.size()) + " bytes are not a picture of " + std::to_string(image.width) + "x" +
                        std::to_string(image.height),
                    Field{"rgb"});
    check_encoding(encoding);
    check_utf8(image.parameters, "parameters");
    return encode_picture(image.width, image.height, image.rgb, image.parameters, encoding);
}

std::string read_picture_parameters(std::span<const std::uint8_t> file) {
    const PictureInfo info = read_picture_info(file, "picture");
    const std::string* text = info.parameters();
    return text ? *text : std::string();
}

std::vector<std::uint8_t> encode_png(const Image& image) {
    return encode_picture(image, {});
}

std::vector<PngText> read_png_text(std::span<const std::uint8_t> file) {
    std::vector<PngText> all;
    for (auto& [keyword, text] : read_png_info(file, "PNG").text) all.push_back({std::move(keyword), std::move(text)});
    return all;
}

}  // namespace t2i
