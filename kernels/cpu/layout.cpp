#include "kernels/cpu/layout.h"

#include <bit>
#include <cstring>

namespace t2i::cpu {
namespace {

float number(float x) {
    return x;
}
float number(std::uint16_t bf16) {
    return std::bit_cast<float>(std::uint32_t{bf16} << 16);
}
void put(float value, float& to) {
    to = value;
}
// Rounds to nearest even; NaN stays NaN.
void put(float value, std::uint16_t& to) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (u & 0x7FFFFFFFU) > 0x7F800000U;
    to = static_cast<std::uint16_t>(is_nan ? (u >> 16) | 0x40U : (u + 0x7FFFU + ((u >> 16) & 1U)) >> 16);
}

template <typename T>
void to_last(const float* x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count, T* out) {
    for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t p = begin; p < begin + count; ++p) put(x[c * pixels + p], out[p * channels + c]);
}
template <typename T>
void to_first(const T* x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count, float* out) {
    for (std::int64_t c = 0; c < channels; ++c)
        for (std::int64_t p = begin; p < begin + count; ++p) out[c * pixels + p] = number(x[p * channels + c]);
}

}  // namespace

void double_row(const void* x, std::int64_t pixels, std::size_t pixel_bytes, void* out) {
    const auto* from = static_cast<const std::byte*>(x);
    auto* to = static_cast<std::byte*>(out);
    const std::size_t row = static_cast<std::size_t>(pixels) * pixel_bytes;
    for (std::size_t at = 0; at < row; at += pixel_bytes) {
        std::memcpy(to + 2 * at, from + at, pixel_bytes);
        std::memcpy(to + 2 * at + pixel_bytes, from + at, pixel_bytes);
    }
    std::memcpy(to + 2 * row, to, 2 * row);
}

void channels_last(const float* x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count,
                   MutableElements out) {
    if (out.is_bf16) to_last(x, channels, pixels, begin, count, static_cast<std::uint16_t*>(out.data));
    else to_last(x, channels, pixels, begin, count, static_cast<float*>(out.data));
}

void channels_first(Elements x, std::int64_t channels, std::int64_t pixels, std::int64_t begin, std::int64_t count, float* out) {
    if (x.is_bf16) to_first(static_cast<const std::uint16_t*>(x.data), channels, pixels, begin, count, out);
    else to_first(static_cast<const float*>(x.data), channels, pixels, begin, count, out);
}

}  // namespace t2i::cpu
