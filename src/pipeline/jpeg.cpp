#include "pipeline/jpeg.h"

#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "pipeline/exif.h"
#include "pipeline/picture_fit.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using namespace std::string_view_literals;

// Markers of ITU-T T.81, table B.1.
constexpr std::uint8_t soi = 0xD8, eoi = 0xD9, sos = 0xDA, app1 = 0xE1;
constexpr std::string_view exif_mark = "Exif\0\0"sv;
constexpr std::size_t largest_segment = 0xFFFF;  // its own two bytes of length included

using Handle = std::unique_ptr<void, decltype(&tjDestroy)>;

bool stands_alone(std::uint8_t marker) {
    return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
}
// A start of frame, which holds the size; C4, C8 and CC are tables and a reserved one.
bool is_frame(std::uint8_t marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

bool is_exif(std::uint8_t marker, std::span<const std::uint8_t> content) {
    return marker == app1 && content.size() >= exif_mark.size() &&
           std::equal(exif_mark.begin(), exif_mark.end(), content.begin());
}

// Calls segment(marker, content) for each segment before the pixels.
template <typename Segment>
void walk(std::span<const std::uint8_t> file, const std::string& where, Segment segment) {
    const auto cut = [&] { return Error(ErrorCode::input, "JPEG is cut short", where); };
    for (std::size_t at = 2;;) {
        if (at >= file.size()) throw cut();
        if (file[at] != 0xFF) throw Error(ErrorCode::input, "JPEG is damaged: no marker where one belongs", where);
        while (at < file.size() && file[at] == 0xFF) ++at;
        if (at >= file.size()) throw cut();
        const std::uint8_t marker = file[at++];
        if (marker == sos || marker == eoi) return;
        if (stands_alone(marker)) continue;
        if (file.size() - at < 2) throw cut();
        const std::size_t length = std::size_t{file[at]} << 8 | file[at + 1];
        if (length < 2 || length > file.size() - at) throw cut();
        segment(marker, file.subspan(at + 2, length - 2));
        at += length;
    }
}

std::vector<std::uint8_t> exif_segment(const std::string& text) {
    check_utf8(text, "parameters");
    if (utf16_of(text).size() > longest_jpeg_text)
        throw Error(ErrorCode::input, "the parameters do not fit into a JPEG, which holds " + std::to_string(longest_jpeg_text) +
                                          " characters of them");
    const auto exif = exif_with_comment(text);
    const std::size_t length = 2 + exif_mark.size() + exif.size();
    std::vector<std::uint8_t> out;
    out.reserve(2 + length);
    for (const std::size_t byte : {std::size_t{0xFF}, std::size_t{app1}, length >> 8, length & 0xFF})
        out.push_back(static_cast<std::uint8_t>(byte));
    out.insert(out.end(), exif_mark.begin(), exif_mark.end());
    out.insert(out.end(), exif.begin(), exif.end());
    return out;
}
static_assert(2 + exif_mark.size() + 52 + 2 * longest_jpeg_text <= largest_segment,
              "52 bytes stand before the text in an EXIF block");

}  // namespace

bool is_jpeg(std::span<const std::uint8_t> file) {
    return file.size() >= 3 && file[0] == 0xFF && file[1] == soi && file[2] == 0xFF;
}

std::vector<std::uint8_t> encode_jpeg(int width, int height, std::span<const std::uint8_t> rgb, const std::string& text,
                                      int quality) {
    constexpr int longest_side = 65500;  // libjpeg's JPEG_MAX_DIMENSION
    if (std::max(width, height) > longest_side)
        throw Error(ErrorCode::invalid_argument, "a JPEG has at most " + std::to_string(longest_side) + " pixels a side",
                    Field{"width"});
    // The segment goes straight behind the start of the file, as Exif 2.32, 4.7.2 wants it.
    std::vector<std::uint8_t> out{0xFF, soi};
    if (!text.empty()) {
        const auto segment = exif_segment(text);
        out.insert(out.end(), segment.begin(), segment.end());
    }
    const Handle handle(tjInitCompress(), &tjDestroy);
    unsigned char* bytes = nullptr;
    unsigned long size = 0;
    const int failed = !handle || tjCompress2(handle.get(), rgb.data(), width, 3 * width, height, TJPF_RGB, &bytes, &size,
                                              TJSAMP_444, quality, TJFLAG_ACCURATEDCT) != 0;
    const std::unique_ptr<unsigned char, decltype(&tjFree)> owned(bytes, &tjFree);
    if (failed)
        throw Error(ErrorCode::resource, std::string("JPEG: ") + (handle ? tjGetErrorStr2(handle.get()) : "out of memory"));
    out.insert(out.end(), bytes + 2, bytes + size);
    return out;
}

PictureInfo read_jpeg_info(std::span<const std::uint8_t> file, const std::string& where) {
    if (!is_jpeg(file)) throw Error(ErrorCode::input, "not a JPEG file", where);
    PictureInfo info{.format = PictureFormat::jpeg, .lossless = false, .width = 0, .height = 0, .text = {}};
    walk(file, where, [&](std::uint8_t marker, std::span<const std::uint8_t> content) {
        if (is_frame(marker) && content.size() >= 5) {  // precision, height, width
            info.height = std::uint32_t{content[1]} << 8 | content[2];
            info.width = std::uint32_t{content[3]} << 8 | content[4];
        }
        if (!is_exif(marker, content)) return;
        if (auto text = read_exif_comment(content.subspan(exif_mark.size()), where))
            info.text.emplace_back("parameters", std::move(*text));
    });
    return info;
}

Image decode_jpeg(std::span<const std::uint8_t> file, const std::string& where) {
    if (!is_jpeg(file)) throw Error(ErrorCode::input, "not a JPEG file", where);
    const Handle handle(tjInitDecompress(), &tjDestroy);
    if (!handle) throw Error(ErrorCode::resource, "out of memory while reading a JPEG");
    const auto damaged = [&] {
        return Error(ErrorCode::input, std::string("its pixels cannot be read (") + tjGetErrorStr2(handle.get()) + ")", where);
    };
    int width = 0, height = 0, subsampling = 0, colours = 0;
    if (tjDecompressHeader3(handle.get(), file.data(), file.size(), &width, &height, &subsampling, &colours) != 0)
        throw damaged();
    if (width < 1 || height < 1) throw Error(ErrorCode::input, "its pixels cannot be read (there are none)", where);
    check_read_size(static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height), where);
    Image image{.width = width, .height = height, .rgb = {}, .seed = 0, .parameters = {}};
    image.rgb.resize(std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    // A file of thousands of scans would take minutes.
    constexpr int flags = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT;
    if (tjDecompress2(handle.get(), file.data(), file.size(), image.rgb.data(), width, 3 * width, height, TJPF_RGB, flags) != 0)
        throw damaged();
    int orientation = 1;
    walk(file, where, [&](std::uint8_t marker, std::span<const std::uint8_t> content) {
        if (is_exif(marker, content)) orientation = read_exif_orientation(content.subspan(exif_mark.size()));
    });
    return upright(std::move(image), orientation);
}

}  // namespace t2i
