#include "pipeline/webp.h"

#include <webp/decode.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "pipeline/exif.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr int webp_format_lossless = 2;  // of WebPBitstreamFeatures::format

using Mux = std::unique_ptr<WebPMux, decltype(&WebPMuxDelete)>;

bool stands_at(std::span<const std::uint8_t> file, std::size_t at, std::string_view text) {
    return file.size() >= at + text.size() &&
           std::equal(text.begin(), text.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
}

Error out_of_memory() {
    return {ErrorCode::resource, "out of memory while encoding a WebP"};
}

// The library's structs, freed whatever happens.
struct Encoder {
    Encoder() {
        if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
            throw Error(ErrorCode::resource, "libwebp is of another version than its headers");
        WebPMemoryWriterInit(&memory);
        picture.writer = WebPMemoryWrite;
        picture.custom_ptr = &memory;
    }
    ~Encoder() {
        WebPPictureFree(&picture);
        WebPMemoryWriterClear(&memory);
    }
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;
    WebPConfig config{};
    WebPPicture picture{};
    WebPMemoryWriter memory{};
};

std::vector<std::uint8_t> with_exif(const std::vector<std::uint8_t>& file, const std::vector<std::uint8_t>& exif) {
    const WebPData image{file.data(), file.size()}, chunk{exif.data(), exif.size()};
    const Mux mux(WebPMuxCreate(&image, 0), &WebPMuxDelete);
    WebPData whole{};
    if (!mux || WebPMuxSetChunk(mux.get(), "EXIF", &chunk, 0) != WEBP_MUX_OK || WebPMuxAssemble(mux.get(), &whole) != WEBP_MUX_OK)
        throw out_of_memory();
    std::vector<std::uint8_t> out(whole.bytes, whole.bytes + whole.size);
    WebPDataClear(&whole);
    return out;
}

WebPBitstreamFeatures features_of(std::span<const std::uint8_t> file, const std::string& where) {
    if (!is_webp(file)) throw Error(ErrorCode::input, "not a WebP file", where);
    WebPBitstreamFeatures features{};
    if (WebPGetFeatures(file.data(), file.size(), &features) != VP8_STATUS_OK)
        throw Error(ErrorCode::input, "WebP is damaged or cut short", where);
    if (features.has_animation) throw Error(ErrorCode::input, "is an animation, not a picture", where);
    return features;
}

}  // namespace

bool is_webp(std::span<const std::uint8_t> file) {
    return stands_at(file, 0, "RIFF") && stands_at(file, 8, "WEBP");
}

std::vector<std::uint8_t> encode_webp(int width, int height, std::span<const std::uint8_t> rgb, const std::string& text,
                                      int quality, bool lossless) {
    if (std::max(width, height) > WEBP_MAX_DIMENSION)
        throw Error(ErrorCode::invalid_argument, "a WebP has at most " + std::to_string(WEBP_MAX_DIMENSION) + " pixels a side",
                    Field{"width"});
    Encoder encoder;
    encoder.config.quality = static_cast<float>(quality);
    // Level 3 of 9: 30 ms for a 256x256 picture of the bundled model instead of 55 at cwebp's 6, whose files are 5 % smaller.
    if (lossless && !WebPConfigLosslessPreset(&encoder.config, 3)) throw out_of_memory();
    encoder.picture.use_argb = lossless ? 1 : 0;
    encoder.picture.width = width;
    encoder.picture.height = height;
    if (!WebPPictureImportRGB(&encoder.picture, rgb.data(), 3 * width) || !WebPEncode(&encoder.config, &encoder.picture))
        throw out_of_memory();
    std::vector<std::uint8_t> out(encoder.memory.mem, encoder.memory.mem + encoder.memory.size);
    return text.empty() ? out : with_exif(out, exif_with_comment(text));
}

PictureInfo read_webp_info(std::span<const std::uint8_t> file, const std::string& where) {
    const WebPBitstreamFeatures features = features_of(file, where);
    PictureInfo info{.format = PictureFormat::webp,
                     .lossless = features.format == webp_format_lossless,
                     .width = static_cast<std::uint32_t>(features.width),
                     .height = static_cast<std::uint32_t>(features.height),
                     .text = {}};
    const WebPData whole{file.data(), file.size()};
    const Mux mux(WebPMuxCreate(&whole, 0), &WebPMuxDelete);
    if (!mux) throw Error(ErrorCode::input, "WebP is damaged or cut short", where);
    WebPData chunk{};
    if (WebPMuxGetChunk(mux.get(), "EXIF", &chunk) != WEBP_MUX_OK) return info;
    if (auto text = read_exif_comment({chunk.bytes, chunk.size}, where)) info.text.emplace_back("parameters", std::move(*text));
    return info;
}

RgbaPicture decode_webp_rgba(std::span<const std::uint8_t> file, const std::string& where) {
    const WebPBitstreamFeatures features = features_of(file, where);
    check_read_size(static_cast<std::uint32_t>(features.width), static_cast<std::uint32_t>(features.height), where);
    RgbaPicture picture{features.width, features.height, {}};
    picture.rgba.resize(std::size_t{4} * static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height));
    if (!WebPDecodeRGBAInto(file.data(), file.size(), picture.rgba.data(), picture.rgba.size(), 4 * picture.width))
        throw Error(ErrorCode::input, "its pixels cannot be read (damaged or cut short)", where);
    return picture;
}

Image decode_webp(std::span<const std::uint8_t> file, const std::string& where) {
    return over_white(decode_webp_rgba(file, where));
}

}  // namespace t2i
