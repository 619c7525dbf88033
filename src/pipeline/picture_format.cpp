#include "pipeline/picture_format.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr std::array rows{
    PictureFormatRow{PictureFormat::png, "PNG", "png", {".png", ""}, false, true, true},
    PictureFormatRow{PictureFormat::jpeg, "JPEG", "jpg", {".jpg", ".jpeg"}, true, false, false},
    PictureFormatRow{PictureFormat::webp, "WebP", "webp", {".webp", ""}, true, false, true},
};
// What most programs call high: flat colours and sharp edges of drawings stay clean.
constexpr int default_quality = 90;

Error quality_error(const std::string& message) {
    return {ErrorCode::invalid_argument, message, Field{"quality"}};
}

}  // namespace

std::span<const PictureFormatRow> picture_formats() {
    return rows;
}

const PictureFormatRow& row_of(PictureFormat format) {
    const auto row = std::ranges::find(rows, format, &PictureFormatRow::format);
    T2I_CHECK(row != rows.end(), "a format without a row");
    return *row;
}

std::string extension_of(PictureFormat format) {
    return std::string(row_of(format).extensions.front());
}

std::optional<PictureFormat> format_of_extension(std::string_view extension) {
    for (const PictureFormatRow& row : rows)
        for (const auto& known : row.extensions)
            if (!known.empty() && equals_without_case(known, extension)) return row.format;
    return std::nullopt;
}

std::string known_extensions() {
    std::vector<std::string_view> all;
    for (const PictureFormatRow& row : rows)
        for (const auto& known : row.extensions)
            if (!known.empty()) all.push_back(known);
    std::string text;
    for (std::size_t i = 0; i < all.size(); ++i) text += (i == 0 ? "" : i + 1 < all.size() ? ", " : " or ") + std::string(all[i]);
    return text;
}

void check_encoding(const PictureEncoding& encoding) {
    if (std::ranges::find(rows, encoding.format, &PictureFormatRow::format) == rows.end())
        throw Error(ErrorCode::invalid_argument, "is none of PNG, JPEG and WebP", Field{"format"});
    const PictureFormatRow& row = row_of(encoding.format);
    if (encoding.quality < 0 || encoding.quality > 100)
        throw quality_error(std::to_string(encoding.quality) + " is out of range [1, 100]");
    if (encoding.lossless && encoding.quality != 0) throw quality_error("a lossless picture has no quality");
    if (encoding.quality != 0 && !row.has_quality)
        throw quality_error(std::string("a ") + row.name + " has none: it is always lossless");
    if (encoding.lossless && !row.can_be_lossless)
        throw quality_error(std::string("a ") + row.name + " cannot be lossless; PNG and WebP can");
}

std::string encoding_text(const PictureEncoding& encoding) {
    const PictureFormatRow& row = row_of(encoding.format);
    if (!row.has_quality) return row.id;
    return std::string(row.id) + (encoding.lossless ? " lossless" : " " + std::to_string(quality_of(encoding)));
}

int quality_of(const PictureEncoding& encoding) {
    return encoding.quality == 0 ? default_quality : encoding.quality;
}

void check_read_size(std::uint32_t width, std::uint32_t height, const std::string& where) {
    if (std::max(width, height) > static_cast<std::uint32_t>(longest_read_side))
        throw Error(ErrorCode::input,
                    "is too large: " + std::to_string(width) + "x" + std::to_string(height) +
                        " pixels, of which a side has at most " + std::to_string(longest_read_side),
                    where);
}

}  // namespace t2i
