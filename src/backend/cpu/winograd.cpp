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
    const std::int64_t batch = x[0], picture = x[1] * x[2] * x[3], result = out[1] * out[2] * out[3];
    GroupScales scales;
    if (a.norm) scales = group_scales(workers_, a.x, *a.norm);

    // About 16 bands a picture: their first two rows of input are made twice, which counts most where there
    // are few channels, and such pictures are high. Many columns are cut, too.
    constexpr std::int64_t bands_wanted = 16, columns_wanted = 128;
    const std::int64_t tile = winograd_tile(a.upsample), tile_rows = (out[1] + tile - 1) / tile,
                       each = std::max<std::int64_t>(1, tile_rows / bands_wanted);
    const std::int64_t bands = (tile_rows + each - 1) / each, column_parts = (out[3] + columns_wanted - 1) / columns_wanted;
    const auto band = [&](std::int64_t part) {
        const std::int64_t b = part / bands % batch, row = part % bands * each, column = part / (bands * batch) * columns_wanted;
        return WinogradBand{
            .x = elements(a.x, b * picture),
            .height = x[1],
            .width = x[2],
            .channels = x[3],
            .mean = a.norm ? scales.mean.data() + b * x[3] : nullptr,
            .gain = a.norm ? scales.gain.data() + b * x[3] : nullptr,
            .shift = a.norm ? floats(a.norm->bias) : nullptr,
            .input_function = a.norm ? function(a.norm->activation) : Function::identity,
            .doubled = a.upsample,
            .top = a.padding[0],
            .left = a.padding[1],
            .filter = static_cast<const float*>(filter.packed.data()),
            .bias = floats(a.bias),
            .residual = a.residual ? elements(*a.residual, b * result).data : nullptr,
            .function = function(a.activation),
            .out = mutable_elements(a.out, b * result),
            .out_height = out[1],
            .out_width = out[2],
            .out_channels = out[3],
            .tile_row_begin = row,
            .tile_row_end = std::min(tile_rows, row + each),
            .column_begin = column,
            .column_end = std::min(out[3], column + columns_wanted),
        };
    };
    workers_.reserve(static_cast<std::size_t>(winograd_scratch(band(0))) * sizeof(float));  // the first is largest
    workers_.run(column_parts * batch * bands,
                 [&](std::int64_t part, void* scratch) { winograd_band(band(part), static_cast<float*>(scratch)); });
}

}  // namespace t2i::cpu
