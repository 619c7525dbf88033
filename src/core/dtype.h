// Element types that a tensor can hold, and scalar conversions between them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace t2i {

// q…: block types of GGUF: a row is cut into blocks of 32 or 256 values that share scales (core/blocks.h). These, f64 and the two
// f8 are for storage alone: nothing computes in them.
enum class DType : std::uint8_t { f32, f16, bf16, i32, u8, q8_0, q4_0, q4_k, q5_k, q6_k, f64, f8_e4m3, f8_e5m2 };

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
        case DType::q8_0:
            return "q8_0";
        case DType::q4_0:
            return "q4_0";
        case DType::q4_k:
            return "q4_k";
        case DType::q5_k:
            return "q5_k";
        case DType::q6_k:
            return "q6_k";
        case DType::f64:
            return "f64";
        case DType::f8_e4m3:
            return "f8_e4m3";
        case DType::f8_e5m2:
            return "f8_e5m2";
    }
    return "?";
}

// The unit that elements are stored in: how many there are in one, and its size. One element of the plain types.
struct StorageBlock {
    std::int64_t elements;
    std::size_t bytes;
};
[[nodiscard]] constexpr StorageBlock block_of(DType t) {
    switch (t) {
        case DType::f32:
        case DType::i32:
            return {1, 4};
        case DType::f16:
        case DType::bf16:
            return {1, 2};
        case DType::f64:
            return {1, 8};
        case DType::u8:
        case DType::f8_e4m3:
        case DType::f8_e5m2:
            return {1, 1};
        case DType::q8_0:
            return {32, 34};
        case DType::q4_0:
            return {32, 18};
        case DType::q4_k:
            return {256, 144};
        case DType::q5_k:
            return {256, 176};
        case DType::q6_k:
            return {256, 210};
    }
    return {1, 0};
}
[[nodiscard]] constexpr bool is_block_type(DType t) {
    return block_of(t).elements > 1;
}

// Bytes of one element. Block types have none: std::logic_error that names the type.
[[nodiscard]] constexpr std::size_t size_of(DType t) {
    if (is_block_type(t)) throw std::logic_error("one element of " + std::string(name_of(t)) + " has no size");
    return block_of(t).bytes;
}
// Bytes of `elements` that follow each other, such as a row; of block types they are whole blocks, else std::logic_error.
[[nodiscard]] constexpr std::size_t bytes_of(DType t, std::int64_t elements) {
    const StorageBlock block = block_of(t);
    if (elements % block.elements != 0)
        throw std::logic_error(std::to_string(elements) + " elements are no whole blocks of " + std::string(name_of(t)));
    return static_cast<std::size_t>(elements / block.elements) * block.bytes;
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

// Rounds to nearest even; what is too large becomes Inf, NaN stays NaN.
[[nodiscard]] constexpr f16 to_f16(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t sign = (u >> 16) & 0x8000U, magnitude = u & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U) return {static_cast<std::uint16_t>(sign | 0x7E00U)};
    if (magnitude >= 0x47800000U) return {static_cast<std::uint16_t>(sign | 0x7C00U)};  // 2^16 and more
    if (magnitude < 0x38800000U) {                                                      // below 2^-14: multiples of 2^-24
        const float rounded = std::bit_cast<float>(magnitude) + 0.5F;                   // the last bit of [0.5, 1) is 2^-24
        return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(rounded) - 0x3F000000U))};
    }
    // A carry out of the fraction goes into the exponent, at the top to Inf.
    const std::uint32_t rounded = magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13) & 1U);
    return {static_cast<std::uint16_t>(sign | (rounded >> 13))};
}

// OCP's 8-bit numbers (OFP8, revision 1.0). E4M3 has no infinity and goes up to 448: PyTorch's float8_e4m3fn. E5M2 is the upper
// half of a binary16.
struct f8_e4m3 {
    std::uint8_t bits;
};
struct f8_e5m2 {
    std::uint8_t bits;
};

[[nodiscard]] constexpr float to_f32(f8_e4m3 x) {
    const std::uint32_t sign = std::uint32_t{x.bits & 0x80U} << 24, exponent = (x.bits >> 3) & 15U, fraction = x.bits & 7U;
    if (exponent == 15 && fraction == 7) return std::bit_cast<float>(sign | 0x7FC00000U);
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-9F;
        return sign ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (fraction << 20));
}

[[nodiscard]] constexpr float to_f32(f8_e5m2 x) {
    return to_f32(f16{static_cast<std::uint16_t>(x.bits << 8)});
}

[[nodiscard]] constexpr float to_f32(float x) {
    return x;
}

// Rounds to nearest even; what is too large becomes Inf.
[[nodiscard]] constexpr float to_f32(double x) {
    return static_cast<float>(x);
}

// Whether its elements are real numbers, of which convert_to_f32() makes floats.
[[nodiscard]] constexpr bool holds_reals(DType t) {
    return t != DType::i32 && t != DType::u8;
}

// Converts `count` elements at `from` (any type but i32 and u8; any alignment; whole blocks) to f32.
void convert_to_f32(const void* from, DType dtype, std::size_t count, float* to);

}  // namespace t2i
