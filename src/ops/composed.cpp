#include "ops/composed.h"

#include <algorithm>
#include <array>
#include <cmath>

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

}  // namespace t2i
