#include <cstdlib>
#include <memory>

#include "pipeline/picture_format.h"
#include "pipeline/picture_read.h"
#include "pipeline/png_read.h"
#include "t2i/error.h"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 4096  // the largest picture that can be asked for
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace t2i {

RgbaPicture decode_png_rgba(std::span<const std::uint8_t> file, const std::string& where) {
    const PngInfo info = read_png_info(file, where);
    check_read_size(info.width, info.height, where);
    int width = 0, height = 0, channels = 0;
    const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
        stbi_load_from_memory(file.data(), static_cast<int>(file.size()), &width, &height, &channels, 4), &std::free);
    if (!pixels || static_cast<std::uint32_t>(width) != info.width || static_cast<std::uint32_t>(height) != info.height)
        throw Error(ErrorCode::input,
                    std::string("its pixels cannot be read (") + (pixels ? "size" : stbi_failure_reason()) + ")", where);
    return {width, height, {pixels.get(), pixels.get() + std::size_t{4} * info.width * info.height}};
}

Image decode_png(std::span<const std::uint8_t> file, const std::string& where) {
    return over_white(decode_png_rgba(file, where));
}

}  // namespace t2i
