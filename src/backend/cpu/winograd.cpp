#include "backend/cpu/winograd.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/group_norm.h"
#include "backend/kernel_arguments.h"
#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {

struct Winograd::Filter final : PackedWeight {
    Conv2dUse use;
    Buffer packed;
};

bool Winograd::suits(const Shape& filter, DType compute, const Conv2dUse& use) {
    constexpr std::int64_t least_channels = 8;  // fewer are not worth the transforms
    // From so many on a bf16 product is quicker; below, it would fill its tiles with zeros.
    constexpr std::int64_t bf16_channels = 64;
    return filter[2] == 3 && filter[3] == 3 && use.stride == 1 && filter[1] >= least_channels &&
           (compute == DType::f32 || std::min(filter[0], filter[1]) < bf16_channels);
}

std::unique_ptr<PackedWeight> Winograd::pack(const TensorView& weight, DType compute, const Conv2dUse& use) const {
    const std::int64_t out = weight.shape[0], in = weight.shape[1];
    std::vector<float> values(static_cast<std::size_t>(weight.elements()));
    convert_to_f32(weight.data, weight.dtype, values.size(), values.data());
    if (compute == DType::bf16) {  // as a bf16 product would see them
        std::vector<std::uint16_t> rounded(values.size());
        convert({values.data(), false}, weight.elements(), {rounded.data(), true});
        convert({rounded.data(), true}, weight.elements(), {values.data(), false});
    }
    auto filter = std::make_unique<Filter>();
    filter->compute = compute;
    filter->shape = weight.shape;
    filter->use = use;
    filter->packed = Buffer::host(static_cast<std::size_t>(winograd_filter_floats(out, in, use.upsample)) * sizeof(float));
    auto* packed = static_cast<float*>(filter->packed.data());
    const std::int64_t width = panel_width();
    workers_.run_ranges(out, width, [&](std::int64_t begin, std::int64_t count) {
        pack_winograd(values.data() + begin * in * 9, count, in, use.upsample,
                      packed + winograd_filter_floats(begin, in, use.upsample));
    });
    return filter;
}

bool Winograd::takes(const Conv2dArgs& a) {
    return dynamic_cast<const Filter*>(a.weight) != nullptr;
}

void Winograd::run(const Conv2dArgs& a) {
    const auto& filter = dynamic_cast<const Filter&>(*a.weight);
    T2I_CHECK(a.stride == 1 && a.upsample == filter.use.upsample, "a filter packed for another use");
    const Shape &x = a.x.shape, &out = a.out.shape;
    GroupScales scales;
    if (a.norm) scales = group_scales(workers_, a.x, *a.norm);
    const WinogradBands bands = winograd_bands({.x = elements(a.x),
                                                .height = x[1],
                                                .width = x[2],
                                                .channels = x[3],
                                                .mean = a.norm ? scales.mean.data() : nullptr,
                                                .gain = a.norm ? scales.gain.data() : nullptr,
                                                .shift = a.norm ? floats(a.norm->bias) : nullptr,
                                                .input_function = a.norm ? function(a.norm->activation) : Function::identity,
                                                .doubled = a.upsample,
                                                .top = a.padding[0],
                                                .left = a.padding[1],
                                                .filter = static_cast<const float*>(filter.packed.data()),
                                                .bias = floats(a.bias),
                                                .residual = elements(a.residual).data,
                                                .function = function(a.activation),
                                                .out = mutable_elements(a.out),
                                                .out_height = out[1],
                                                .out_width = out[2],
                                                .out_channels = out[3],
                                                .tile_row_begin = 0,
                                                .tile_row_end = 0,
                                                .column_begin = 0,
                                                .column_end = 0},
                                               x[0]);
    workers_.reserve(static_cast<std::size_t>(winograd_scratch(band_of(bands, 0))) * sizeof(float));
    workers_.run(bands.count(),
                 [&](std::int64_t part, void* scratch) { winograd_band(band_of(bands, part), static_cast<float*>(scratch)); });
}

}  // namespace t2i::cpu
