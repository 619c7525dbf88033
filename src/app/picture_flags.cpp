#include "app/picture_flags.h"

#include "core/nearest.h"
#include "core/number_text.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"

namespace t2i::app {

void PictureFlags::add_to(CLI::App& app, const std::string& about) {
    std::string ids;
    for (const PictureFormatRow& row : picture_formats()) ids += (ids.empty() ? "" : ",") + std::string(row.id);
    app.add_option("--image-format", format_, about)->type_name("{" + ids + "}");
    app.add_option("--quality", quality_, "of JPEG and WebP: 1 to 100 (default: 90), or of WebP: lossless")->type_name("N");
}

std::optional<PictureFormat> PictureFlags::format() const {
    if (format_.empty()) return std::nullopt;
    const auto format = format_of_extension("." + format_);
    if (!format) throw Error(ErrorCode::invalid_argument, in_quotes(format_) + " is none of png, jpg and webp", "--image-format");
    return format;
}

PictureEncoding PictureFlags::encoding(PictureFormat format) const {
    PictureEncoding encoding{.format = format};
    if (quality_ == "lossless") encoding.lossless = true;
    else if (!quality_.empty()) {
        const auto value = parse_number<int>(quality_);
        if (!value || *value < 1 || *value > 100)
            throw Error(ErrorCode::invalid_argument, in_quotes(quality_) + " is neither a number from 1 to 100 nor lossless",
                        Field{"quality"});
        encoding.quality = *value;
    }
    check_encoding(encoding);
    return encoding;
}

}  // namespace t2i::app
