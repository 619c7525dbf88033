#include "backend/cpu/layout.h"

#include <cstring>

namespace t2i::cpu {
namespace {

// Pixels of one part: a few hundred KB at most, whatever the channels of these pictures.
constexpr std::int64_t pixels_per_part = 1024;

void put(float value, float& to) {
    to = value;
}
void put(float value, bf16& to) {
    to = to_bf16(value);
}

// Calls f with a typed pointer to the elements, which are f32 or bf16.
template <typename F>
void with_type(const TensorView& t, F f) {
    if (t.dtype == DType::bf16) f(static_cast<bf16*>(t.data));
    else f(static_cast<float*>(t.data));
}

}  // namespace

void upsample2x(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t height = x.shape[1], width = x.shape[2];
    const std::size_t pixel = static_cast<std::size_t>(x.shape[3]) * size_of(x.dtype);
    const std::size_t row = static_cast<std::size_t>(width) * pixel;
    workers.run(x.shape[0] * height, [&](std::int64_t i, void*) {
        const auto* from = static_cast<const std::byte*>(x.data) + static_cast<std::size_t>(i) * row;
        auto* to = static_cast<std::byte*>(out.data) + static_cast<std::size_t>(i) * 4 * row;
        for (std::size_t at = 0; at < row; at += pixel) {
            std::memcpy(to + 2 * at, from + at, pixel);
            std::memcpy(to + 2 * at + pixel, from + at, pixel);
        }
        std::memcpy(to + 2 * row, to, 2 * row);
    });
}

void gather(Workers& workers, const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) {
    const auto columns = static_cast<std::size_t>(table.shape[1]);
    workers.run(static_cast<std::int64_t>(ids.size()), [&](std::int64_t i, void*) {
        const auto row = static_cast<std::size_t>(ids[static_cast<std::size_t>(i)]);
        convert_to_f32(static_cast<const std::byte*>(table.data) + row * columns * size_of(table.dtype), table.dtype, columns,
                       static_cast<float*>(out.data) + static_cast<std::size_t>(i) * columns);
    });
}

void to_channels_last(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t channels = x.shape[1], pixels = x.shape[2] * x.shape[3];
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        with_type(out, [&]<typename T>(T* to) {
            const float* from = static_cast<const float*>(x.data) + b * channels * pixels;
            T* picture = to + b * channels * pixels;
            workers.run_ranges(pixels, pixels_per_part, [&](std::int64_t begin, std::int64_t count) {
                for (std::int64_t c = 0; c < channels; ++c)
                    for (std::int64_t p = begin; p < begin + count; ++p) put(from[c * pixels + p], picture[p * channels + c]);
            });
        });
}

void to_channels_first(Workers& workers, const TensorView& x, const TensorView& out) {
    const std::int64_t channels = x.shape[3], pixels = x.shape[1] * x.shape[2];
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        with_type(x, [&]<typename T>(const T* from) {
            const T* picture = from + b * channels * pixels;
            float* to = static_cast<float*>(out.data) + b * channels * pixels;
            workers.run_ranges(pixels, pixels_per_part, [&](std::int64_t begin, std::int64_t count) {
                for (std::int64_t c = 0; c < channels; ++c)
                    for (std::int64_t p = begin; p < begin + count; ++p) to[c * pixels + p] = to_f32(picture[p * channels + c]);
            });
        });
}

}  // namespace t2i::cpu
