#include "backend/cpu/layout.h"

#include "backend/kernel_arguments.h"
#include "kernels/cpu/layout.h"

namespace t2i::cpu {
namespace {

// Pixels of one part: a few hundred KB at most, whatever the channels of these pictures.
constexpr std::int64_t pixels_per_part = 1024;

}  // namespace

void upsample2x(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t width = x.shape[2];
    const std::size_t pixel = static_cast<std::size_t>(x.shape[3]) * size_of(x.dtype),
                      row = static_cast<std::size_t>(width) * pixel;
    workers.run(x.shape[0] * x.shape[1], [&](std::int64_t i, void*) {
        const auto at = static_cast<std::size_t>(i) * row;
        double_row(static_cast<const std::byte*>(x.data) + at, width, pixel, static_cast<std::byte*>(out.data) + 4 * at);
    });
}

void gather(Workers& workers, const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) {
    const auto columns = static_cast<std::size_t>(table.shape[1]);
    const std::size_t row_bytes = bytes_of(table.dtype, table.shape[1]);
    workers.run(static_cast<std::int64_t>(ids.size()), [&](std::int64_t i, void*) {
        const auto row = static_cast<std::size_t>(ids[static_cast<std::size_t>(i)]);
        convert_to_f32(static_cast<const std::byte*>(table.data) + row * row_bytes, table.dtype, columns,
                       mutable_floats(out) + static_cast<std::size_t>(i) * columns);
    });
}

void to_channels_last(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t channels = x.shape[1], pixels = x.shape[2] * x.shape[3], picture = channels * pixels;
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        workers.run_ranges(pixels, pixels_per_part, [&](std::int64_t begin, std::int64_t count) {
            channels_last(floats(x) + b * picture, channels, pixels, begin, count, mutable_elements(out, b * picture));
        });
}

void to_channels_first(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t channels = x.shape[3], pixels = x.shape[1] * x.shape[2], picture = channels * pixels;
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        workers.run_ranges(pixels, pixels_per_part, [&](std::int64_t begin, std::int64_t count) {
            channels_first(elements(x, b * picture), channels, pixels, begin, count, mutable_floats(out) + b * picture);
        });
}

}  // namespace t2i::cpu
