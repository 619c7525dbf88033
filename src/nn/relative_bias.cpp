#include "nn/relative_bias.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace t2i {

int RelativeBuckets::bucket(std::int64_t distance) const {
    const int half = count / 2, exact = half / 2;
    const int side = distance > 0 ? half : 0;
    const std::int64_t n = std::abs(distance);
    if (n < exact) return side + static_cast<int>(n);
    // Buckets past `exact` grow logarithmically up to max_distance. In float32 as the reference has it: 16,
    // 32 and 64 lie on edges of buckets.
    const float position = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                           static_cast<float>(std::log(static_cast<double>(max_distance) / exact)) *
                           static_cast<float>(half - exact);
    return side + std::min(half - 1, exact + static_cast<int>(position));
}

Tensor relative_position_bias(const RelativeBuckets& buckets, const TensorView& table, std::int64_t length) {
    const std::int64_t heads = table.shape[1];
    T2I_CHECK(table.shape[0] == buckets.count, "position bias of " + table.shape.text());
    Tensor bias = Tensor::host({heads, length, length});
    const auto from = table.as<float>();
    auto* to = bias.as<float>().data();
    std::vector<std::int64_t> rows(static_cast<std::size_t>(2 * length - 1));  // of the table, by distance + length − 1
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = buckets.bucket(static_cast<std::int64_t>(i) - (length - 1));
    for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t query = 0; query < length; ++query)
            for (std::int64_t key = 0; key < length; ++key)
                *to++ = from[static_cast<std::size_t>(rows[static_cast<std::size_t>(key - query + length - 1)] * heads + h)];
    return bias;
}

}  // namespace t2i
