#include "pipeline/picture_resize.h"

#include <algorithm>
#include <vector>

#include "core/check.h"

namespace t2i {

namespace {

// Of a row or column of the new picture: the two of the old one that it lies between, and the share of the second.
struct Tap {
    std::int64_t first, second;
    float share;
};

// size: of the old picture; covering: of it when it covers the new one, which has `wanted`.
std::vector<Tap> taps(std::int64_t size, std::int64_t covering, std::int64_t wanted) {
    const float scale = static_cast<float>(size) / static_cast<float>(covering);
    const std::int64_t start = (covering - wanted) / 2;
    std::vector<Tap> all;
    for (std::int64_t i = start; i < start + wanted; ++i) {
        const float at = std::max(scale * (static_cast<float>(i) + 0.5F) - 0.5F, 0.0F);
        const std::int64_t first = std::min(static_cast<std::int64_t>(at), size - 1);
        all.push_back({first, std::min(first + 1, size - 1), std::min(at - static_cast<float>(first), 1.0F)});
    }
    return all;
}

}  // namespace

void resize_and_crop(const TensorView& from, const TensorView& to) {
    const Shape &old = from.shape, &wanted = to.shape;
    T2I_CHECK(old.rank() == 4 && wanted.rank() == 4 && old[0] == wanted[0] && old[3] == wanted[3], "pictures of one kind");
    const double ratio = std::max(static_cast<double>(wanted[1]) / static_cast<double>(old[1]),
                                  static_cast<double>(wanted[2]) / static_cast<double>(old[2]));
    // The product may fall short of the side that it was made for by its last bit; diffusers loses the picture then.
    const auto covering = [&](int side) {
        return std::max(static_cast<std::int64_t>(static_cast<double>(old[side]) * ratio), wanted[side]);
    };
    const std::vector<Tap> rows = taps(old[1], covering(1), wanted[1]), columns = taps(old[2], covering(2), wanted[2]);
    const float* const pixels = from.as<const float>().data();
    float* out = to.as<float>().data();
    const std::int64_t channels = old[3], line = old[2] * channels;
    for (std::int64_t picture = 0; picture < old[0]; ++picture)
        for (const Tap& row : rows) {
            const float* const upper = pixels + (picture * old[1] + row.first) * line;
            const float* const lower = pixels + (picture * old[1] + row.second) * line;
            for (const Tap& column : columns)
                for (std::int64_t c = 0; c < channels; ++c) {
                    const std::int64_t left = column.first * channels + c, right = column.second * channels + c;
                    const float above = (1 - column.share) * upper[left] + column.share * upper[right];
                    const float below = (1 - column.share) * lower[left] + column.share * lower[right];
                    *out++ = (1 - row.share) * above + row.share * below;
                }
        }
}

}  // namespace t2i
