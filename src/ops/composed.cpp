#include "ops/composed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace t2i {

void sampler_update_by_sums(Backend& backend, const SamplerUpdateArgs& a) {
    backend.lincomb(a.x0_terms, a.x0);
    backend.lincomb(a.x_terms, a.x);
    if (a.inputs) {
        const std::array scaled{LincombTerm{a.input_scale, a.x}};
        const TensorView copies = a.inputs->reshaped({a.inputs->elements() / a.x.elements(), a.x.elements()});
        for (std::int64_t i = 0; i < copies.shape[0]; ++i) backend.lincomb(scaled, copies.slice(i, 1));
    }
    std::int32_t& first_bad = a.first_bad.as<std::int32_t>()[0];
    if (!std::ranges::all_of(a.x.as<float>(), [](float v) { return std::isfinite(v); })) first_bad = std::min(first_bad, a.step);
}

QuantilePlace quantile_place(double quantile, std::int64_t n) {
    // torch reckons it in float32.
    const float place = static_cast<float>(quantile) * static_cast<float>(n - 1), below = std::floor(place);
    return {static_cast<std::int64_t>(below), static_cast<double>(place - below)};
}

void limit_on_host(const LimitArgs& a) {
    const std::int64_t n = a.x.shape.columns();
    std::vector<std::uint32_t> sizes(a.quantile > 0.0 ? static_cast<std::size_t>(n) : 0);
    for (std::int64_t row = 0; row < a.x.shape.rows(); ++row) {
        const auto x = a.x.as<float>().subspan(static_cast<std::size_t>(row * n), static_cast<std::size_t>(n));
        float bound = a.range;
        if (a.quantile > 0.0) {
            // |x| as bits has the order of |x|, and NaN after everything.
            std::ranges::transform(x, sizes.begin(), [](float v) { return std::bit_cast<std::uint32_t>(v) & 0x7FFFFFFFU; });
            const QuantilePlace place = quantile_place(a.quantile, n);
            const auto at = sizes.begin() + place.below;
            std::nth_element(sizes.begin(), at, sizes.end());
            const double low = std::bit_cast<float>(*at);
            const double high = at + 1 == sizes.end() ? low : std::bit_cast<float>(*std::min_element(at + 1, sizes.end()));
            const auto quantile = static_cast<float>(low + place.weight * (high - low));
            bound = std::min(std::max(quantile, 1.0F), a.range);
        }
        for (float& v : x) {
            if (!std::isnan(v)) v = std::min(std::max(v, -bound), bound);
            if (a.quantile > 0.0) v /= bound;
        }
    }
}

void cast_from_blocks(const TensorView& x, const TensorView& out) {
    const auto count = static_cast<std::size_t>(x.elements());
    if (out.dtype == DType::f32) return convert_to_f32(x.data, x.dtype, count, out.as<float>().data());
    std::vector<float> values(count);
    convert_to_f32(x.data, x.dtype, count, values.data());
    std::ranges::transform(values, out.as<bf16>().begin(), [](float v) { return to_bf16(v); });
}

}  // namespace t2i
