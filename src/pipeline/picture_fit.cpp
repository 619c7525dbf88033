#include "pipeline/picture_fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/check.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr int precision_bits = 22;  // of weights, in 32-bit sums of 8-bit values (Pillow: PRECISION_BITS)

// Of a pixel of the new picture: the pixels of the old one from `first` on, and their weights.
struct Window {
    int first = 0;
    std::vector<std::int32_t> weights;
};

double lanczos(double x) {
    constexpr double lobes = 3.0;
    const auto sinc = [](double v) { return v == 0.0 ? 1.0 : std::sin(v * std::numbers::pi) / (v * std::numbers::pi); };
    return x >= -lobes && x < lobes ? sinc(x) * sinc(x / lobes) : 0.0;
}

// Pillow's precompute_coeffs and normalize_coeffs_8bpc.
std::vector<Window> windows(int size, int wanted) {
    const double scale = static_cast<double>(size) / wanted, filter_scale = std::max(scale, 1.0), support = 3.0 * filter_scale;
    std::vector<Window> all;
    for (int i = 0; i < wanted; ++i) {
        const double centre = (i + 0.5) * scale, inverse = 1.0 / filter_scale;
        Window window{.first = std::max(static_cast<int>(centre - support + 0.5), 0), .weights = {}};
        const int end = std::min(static_cast<int>(centre + support + 0.5), size);
        std::vector<double> weights;
        double sum = 0.0;
        for (int x = window.first; x < end; ++x) sum += weights.emplace_back(lanczos((x - centre + 0.5) * inverse));
        for (const double w : weights) {
            const double share = sum == 0.0 ? w : w / sum;
            window.weights.push_back(static_cast<std::int32_t>((share < 0 ? -0.5 : 0.5) + share * (1 << precision_bits)));
        }
        all.push_back(std::move(window));
    }
    return all;
}

// One pixel of three values, `stride` bytes from one to the next.
void sum_window(const Window& window, const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
    for (std::size_t c = 0; c < 3; ++c) {
        std::int32_t sum = 1 << (precision_bits - 1);
        const std::uint8_t* value = from + static_cast<std::size_t>(window.first) * stride + c;
        for (const std::int32_t weight : window.weights) {
            sum += *value * weight;
            value += stride;
        }
        to[c] = static_cast<std::uint8_t>(std::clamp(sum >> precision_bits, 0, 255));
    }
}

Image blank(int width, int height) {
    Image image{.width = width, .height = height, .rgb = {}, .seed = 0, .parameters = {}};
    image.rgb.resize(std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    return image;
}

// Pixel (x, y) of the result is that of `picture` at (x + left, y + top), or the nearest that it has.
Image cut_out(const Image& picture, int left, int top, int width, int height) {
    Image out = blank(width, height);
    std::uint8_t* to = out.rgb.data();
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x, to += 3) {
            const int row = std::clamp(y + top, 0, picture.height - 1), column = std::clamp(x + left, 0, picture.width - 1);
            const std::size_t at =
                3 * (static_cast<std::size_t>(row) * static_cast<std::size_t>(picture.width) + static_cast<std::size_t>(column));
            std::copy_n(picture.rgb.data() + at, 3, to);
        }
    return out;
}

}  // namespace

Image upright(Image picture, int orientation) {
    if (orientation == 1) return picture;
    const bool swaps = orientation >= 5;
    const bool mirrors_x = orientation == 2 || orientation == 3 || orientation >= 7;
    const bool mirrors_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Image out = swaps ? blank(picture.height, picture.width) : blank(picture.width, picture.height);
    std::uint8_t* to = out.rgb.data();
    for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x, to += 3) {
            const int u = swaps ? y : x, v = swaps ? x : y;
            const int column = mirrors_x ? picture.width - 1 - u : u, row = mirrors_y ? picture.height - 1 - v : v;
            std::copy_n(picture.rgb.data() + 3 * (static_cast<std::size_t>(row) * static_cast<std::size_t>(picture.width) +
                                                  static_cast<std::size_t>(column)),
                        3, to);
        }
    return out;
}

const std::vector<FitRow>& fits() {
    static const std::vector<FitRow> rows{{"crop", Fit::crop}, {"stretch", Fit::stretch}, {"fill", Fit::fill}};
    return rows;
}

Fit fit_named(const std::string& name) {
    if (name.empty()) return Fit::crop;
    std::string list;
    for (const FitRow& row : fits()) {
        if (name == row.name) return row.fit;
        list += (list.empty() ? "" : ", ") + std::string(row.name);
    }
    throw Error(ErrorCode::invalid_argument, in_quotes(name) + " is none of " + list, Field{"resize_mode"});
}

Image resize_lanczos(const Image& picture, int width, int height) {
    T2I_CHECK(width > 0 && height > 0 && picture.width > 0 && picture.height > 0, "a picture without pixels");
    Image wide = picture;
    if (width != picture.width) {
        wide = blank(width, picture.height);
        const std::vector<Window> columns = windows(picture.width, width);
        const std::size_t line = std::size_t{3} * static_cast<std::size_t>(picture.width);
        std::uint8_t* to = wide.rgb.data();
        for (int y = 0; y < picture.height; ++y)
            for (const Window& column : columns) {
                sum_window(column, picture.rgb.data() + static_cast<std::size_t>(y) * line, 3, to);
                to += 3;
            }
    }
    if (height == picture.height) return wide;
    Image out = blank(width, height);
    const std::size_t line = std::size_t{3} * static_cast<std::size_t>(width);
    std::uint8_t* to = out.rgb.data();
    for (const Window& row : windows(picture.height, height))
        for (std::size_t x = 0; x < line; x += 3) {
            sum_window(row, wide.rgb.data() + x, line, to);
            to += 3;
        }
    return out;
}

Image fit_picture(const Image& picture, int width, int height, Fit fit) {
    if (fit == Fit::stretch) return resize_lanczos(picture, width, height);
    const double wanted = static_cast<double>(width) / height, shape = static_cast<double>(picture.width) / picture.height;
    const bool is_crop = fit == Fit::crop;
    // The other side follows by whole numbers, as in diffusers; a very thin picture keeps a pixel.
    const auto follows = [](int side, int of, int by) { return std::max(static_cast<int>(std::int64_t{side} * of / by), 1); };
    const bool keeps_width = is_crop ? wanted > shape : wanted < shape,
               keeps_height = is_crop ? wanted <= shape : wanted >= shape;
    const int covering_width = keeps_width ? width : follows(picture.width, height, picture.height);
    const int covering_height = keeps_height ? height : follows(picture.height, width, picture.width);
    const Image sized = resize_lanczos(picture, covering_width, covering_height);
    return cut_out(sized, covering_width / 2 - width / 2, covering_height / 2 - height / 2, width, height);
}

}  // namespace t2i
