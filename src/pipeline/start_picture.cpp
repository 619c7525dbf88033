#include "pipeline/start_picture.h"

#include <xxhash.h>

#include <filesystem>

#include "core/escape.h"
#include "core/files.h"
#include "core/number_text.h"
#include "pipeline/picture_fit.h"
#include "pipeline/picture_read.h"
#include "t2i/error.h"

namespace t2i {

namespace {

struct Source {
    std::shared_ptr<const Image> image;
    std::string name;
};

Source read_source(const SourcePicture& source, const char* field) {
    if (!source.pixels) {
        auto image = std::make_shared<const Image>(decode_picture(read_file(source.file, longest_picture_file), source.file));
        return {std::move(image), escaped(std::filesystem::path(source.file).filename().string())};
    }
    const Image& given = *source.pixels;
    check_setting_range(field, given.width, 1, longest_side);
    check_setting_range(field, given.height, 1, longest_side);
    const auto wanted = std::size_t{3} * static_cast<std::size_t>(given.width) * static_cast<std::size_t>(given.height);
    if (given.rgb.size() != wanted)
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(given.rgb.size()) + " bytes are not a picture of " + std::to_string(given.width) + "x" +
                        std::to_string(given.height),
                    Field{field});
    return {source.pixels, {}};
}

std::string size_of(const Image& image) {
    return std::to_string(image.width) + "x" + std::to_string(image.height);
}

// Pillow's conversion to "L", ITU-R 601-2 in whole numbers.
std::vector<std::uint8_t> grey(const Image& image) {
    std::vector<std::uint8_t> out;
    out.reserve(image.rgb.size() / 3);
    for (std::size_t i = 0; i < image.rgb.size(); i += 3)
        out.push_back(static_cast<std::uint8_t>(
            (image.rgb[i] * 19595U + image.rgb[i + 1] * 38470U + image.rgb[i + 2] * 7471U + 0x8000U) >> 16U));
    return out;
}

}  // namespace

std::string hash_pixels(const Image& picture) {
    const std::string size = size_of(picture) + ":";
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
    XXH3_64bits_reset(state.get());
    XXH3_64bits_update(state.get(), size.data(), size.size());
    XXH3_64bits_update(state.get(), picture.rgb.data(), picture.rgb.size());
    return hex_text(XXH3_64bits_digest(state.get()));
}

std::shared_ptr<const StartPicture> read_start(const GenerateRequest& request, const ResolvedRequest& resolved) {
    if (!request.init_image.is_given()) return nullptr;
    const Source source = read_source(request.init_image, "init_image");
    const Fit fit = fit_named(request.resize_mode);
    auto start = std::make_shared<StartPicture>();
    start->width = resolved.drawn_width;
    start->height = resolved.drawn_height;
    start->rgb = fit_picture(*source.image, start->width, start->height, fit).rgb;
    start->name = source.name;
    start->hash = hash_pixels(*source.image);
    if (fit != Fit::crop) start->resize_mode = request.resize_mode;
    if (!request.mask.is_given()) return start;
    const Source mask = read_source(request.mask, "mask");
    if (mask.image->width != source.image->width || mask.image->height != source.image->height)
        throw Error(
            ErrorCode::invalid_argument,
            "has " + size_of(*mask.image) + " pixels, init_image " + size_of(*source.image) + "; they must be of one size",
            Field{"mask"});
    start->mask = grey(fit_picture(*mask.image, start->width, start->height, fit));
    start->mask_name = mask.name;
    start->mask_hash = hash_pixels(*mask.image);
    return start;
}

Tensor latent_mask(const StartPicture& start, std::int64_t factor) {
    if (start.mask.empty()) return {};
    const std::int64_t height = start.height / factor, width = start.width / factor;
    Tensor out = Tensor::host({height, width});
    auto to = out.as<float>().begin();
    for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x)  // binarized at one half
            *to++ = start.mask[static_cast<std::size_t>(y * factor * start.width + x * factor)] >= 128 ? 1.0F : 0.0F;
    return out;
}

Tensor encoder_input(const StartPicture& start) {
    Tensor out = Tensor::host({1, start.height, start.width, 3});
    auto to = out.as<float>().begin();
    for (const std::uint8_t value : start.rgb) *to++ = 2.0F * (static_cast<float>(value) / 255.0F) - 1.0F;
    return out;
}

void paste_unmasked(const StartPicture& start, std::span<std::uint8_t> rgb) {
    for (std::size_t i = 0; i < rgb.size(); ++i) {
        const unsigned anew = start.mask[i / 3];
        rgb[i] = static_cast<std::uint8_t>((rgb[i] * anew + start.rgb[i] * (255 - anew) + 127) / 255);
    }
}

}  // namespace t2i
