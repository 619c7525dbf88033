#include "pipeline/picture_read.h"

#include <algorithm>

#include "pipeline/png_read.h"

namespace t2i {

const std::string* PictureInfo::parameters() const {
    const auto found = std::ranges::find_if(text, [](const auto& item) { return item.first == "parameters"; });
    return found == text.end() ? nullptr : &found->second;
}

PictureInfo read_picture_info(std::span<const std::uint8_t> file, const std::string& where) {
    PngInfo png = read_png_info(file, where);
    return {.lossless = true, .width = png.width, .height = png.height, .text = std::move(png.text)};
}

Image decode_picture(std::span<const std::uint8_t> file, const std::string& where) {
    return decode_png(file, where);
}

}  // namespace t2i
