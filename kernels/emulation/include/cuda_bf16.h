// CUDA's bfloat16 type and the conversions that kernels use; its upper half of a binary32 is rounded to nearest even, and every
// NaN becomes 0x7FFF (cuda_bf16.hpp, __internal_float2bfloat16).
#pragma once

#include <bit>
#include <cstdint>

struct __nv_bfloat16 {
    std::uint16_t x;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 a) {
    return std::bit_cast<float>(std::uint32_t{a.x} << 16);
}
inline __nv_bfloat16 __float2bfloat16_rn(float a) {
    const auto bits = std::bit_cast<std::uint32_t>(a);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {0x7FFF};
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
    return {__float2bfloat16_rn(low), __float2bfloat16_rn(high)};
}
inline std::uint16_t __bfloat16_as_ushort(__nv_bfloat16 a) {
    return a.x;
}
inline __nv_bfloat16 __ushort_as_bfloat16(std::uint16_t bits) {
    return {bits};
}
