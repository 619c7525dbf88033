// Element types that a tensor can hold, and scalar conversions between them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace t2i {

enum class DType : std::uint8_t { f32, f16, bf16, i32, u8 };

[[nodiscard]] constexpr std::size_t size_of(DType t) {
    switch (t) {
        case DType::f32:
        case DType::i32:
            return 4;
        case DType::f16:
        case DType::bf16:
            return 2;
        case DType::u8:
            return 1;
    }
    return 0;
}

[[nodiscard]] constexpr std::string_view name_of(DType t) {
    switch (t) {
        case DType::f32:
            return "f32";
        case DType::f16:
            return "f16";
        case DType::bf16:
            return "bf16";
        case DType::i32:
            return "i32";
        case DType::u8:
            return "u8";
    }
    return "?";
}

// bfloat16: the upper half of an IEEE binary32.
struct bf16 {
    std::uint16_t bits;
};

[[nodiscard]] constexpr float to_f32(bf16 x) {
    return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
}

// Rounds to nearest even; NaN stays NaN.
[[nodiscard]] constexpr bf16 to_bf16(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    if ((u & 0x7FFFFFFFU) > 0x7F800000U) return {static_cast<std::uint16_t>((u >> 16) | 0x40U)};
    return {static_cast<std::uint16_t>((u + 0x7FFFU + ((u >> 16) & 1U)) >> 16)};
}

// IEEE binary16 (storage only: checkpoints hold it, kernels do not compute in it).
struct f16 {
    std::uint16_t bits;
};

[[nodiscard]] constexpr float to_f32(f16 h) {
    const std::uint32_t sign = (h.bits & 0x8000U) << 16, exponent = (h.bits >> 10) & 31U, fraction = h.bits & 1023U;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13));
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return sign ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

[[nodiscard]] constexpr float to_f32(float x) {
    return x;
}

// Converts `count` elements at `from` (f32, f16 or bf16; any alignment) to f32.
void convert_to_f32(const void* from, DType dtype, std::size_t count, float* to);

}  // namespace t2i
