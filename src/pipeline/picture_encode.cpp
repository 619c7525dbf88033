#include "pipeline/picture_encode.h"

#include "core/check.h"
#include "pipeline/jpeg.h"
#include "pipeline/picture_format.h"
#include "pipeline/png_encode.h"
#include "pipeline/webp.h"
#include "t2i/error.h"

namespace t2i {

std::vector<std::uint8_t> encode_picture(int width, int height, std::span<const std::uint8_t> rgb, const std::string& text,
                                         const PictureEncoding& encoding) {
    switch (encoding.format) {
        case PictureFormat::png:
            return encode_png(width, height, rgb, text);
        case PictureFormat::jpeg:
            return encode_jpeg(width, height, rgb, text, quality_of(encoding));
        case PictureFormat::webp:
            return encode_webp(width, height, rgb, text, quality_of(encoding), encoding.lossless);
    }
    T2I_CHECK(false, "a format that nobody encodes");
}

void check_prompt_fits(PictureFormat format, std::string_view prompt, std::string_view negative_prompt) {
    constexpr std::size_t settings = 2'000;  // more than all that is said beside the prompts; a byte is at least one unit
    if (format != PictureFormat::jpeg || prompt.size() + negative_prompt.size() + settings <= longest_jpeg_text) return;
    throw Error(ErrorCode::input,
                "is too long for the metadata of a JPEG: " + std::to_string(prompt.size() + negative_prompt.size()) +
                    " bytes, of " + std::to_string(longest_jpeg_text - settings),
                Field{"prompt"});
}

}  // namespace t2i
