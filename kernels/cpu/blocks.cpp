#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/blocks.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd-inl.h"

// Plain loops of fixed length, which compilers turn into vectors of the instruction set. CMakeLists.txt turns contraction off for
// this file: a fused multiply-add would round once where the reference rounds twice.
HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE float half_at(const std::byte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const std::uint32_t sign = (bits & 0x8000U) << 16, exponent = (bits >> 10) & 31U, fraction = bits & 1023U;
    std::uint32_t wide = sign | ((exponent + 112) << 23) | (fraction << 13);
    if (exponent == 31) wide |= 0x7F800000U;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    if (exponent == 0) value = static_cast<float>(fraction) * (sign ? -0x1p-24F : 0x1p-24F);
    return value;
}

HWY_INLINE const std::uint8_t* bytes_at(const std::byte* p) {
    return reinterpret_cast<const std::uint8_t*>(p);
}

HWY_INLINE void unpack_q8_0(const std::byte* block, float* HWY_RESTRICT y) {
    const float d = half_at(block);
    const auto* q = reinterpret_cast<const std::int8_t*>(block + 2);
    for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(q[j]);
}

HWY_INLINE void unpack_q4_0(const std::byte* block, float* HWY_RESTRICT y) {
    const float d = half_at(block);
    const std::uint8_t* q = bytes_at(block + 2);
    for (int j = 0; j < 16; ++j) y[j] = d * static_cast<float>((q[j] & 15) - 8);
    for (int j = 0; j < 16; ++j) y[j + 16] = d * static_cast<float>((q[j] >> 4) - 8);
}

// Scale and minimum of run j of eight, of the twelve bytes of q4_k and q5_k.
HWY_INLINE void scale_and_minimum(const std::uint8_t* packed, int j, float d, float minimum, float* scale, float* below) {
    const int s = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4);
    const int m = j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4);
    *scale = d * static_cast<float>(s);
    *below = minimum * static_cast<float>(m);
}

HWY_INLINE void unpack_q4_k(const std::byte* block, float* HWY_RESTRICT y) {
    const float d = half_at(block), minimum = half_at(block + 2);
    const std::uint8_t *packed = bytes_at(block + 4), *q = bytes_at(block + 16);
    for (int pair = 0; pair < 4; ++pair, q += 32, y += 64) {
        float scale[2], below[2];
        for (int i = 0; i < 2; ++i) scale_and_minimum(packed, 2 * pair + i, d, minimum, scale + i, below + i);
        for (int l = 0; l < 32; ++l) y[l] = scale[0] * static_cast<float>(q[l] & 15) - below[0];
        for (int l = 0; l < 32; ++l) y[32 + l] = scale[1] * static_cast<float>(q[l] >> 4) - below[1];
    }
}

HWY_INLINE void unpack_q5_k(const std::byte* block, float* HWY_RESTRICT y) {
    const float d = half_at(block), minimum = half_at(block + 2);
    const std::uint8_t *packed = bytes_at(block + 4), *high = bytes_at(block + 16), *q = bytes_at(block + 48);
    for (int pair = 0; pair < 4; ++pair, q += 32, y += 64) {
        float scale[2], below[2];
        for (int i = 0; i < 2; ++i) scale_and_minimum(packed, 2 * pair + i, d, minimum, scale + i, below + i);
        for (int l = 0; l < 32; ++l)
            y[l] = scale[0] * static_cast<float>((q[l] & 15) + ((high[l] >> (2 * pair)) & 1) * 16) - below[0];
        for (int l = 0; l < 32; ++l)
            y[32 + l] = scale[1] * static_cast<float>((q[l] >> 4) + ((high[l] >> (2 * pair + 1)) & 1) * 16) - below[1];
    }
}

HWY_INLINE void unpack_q6_k(const std::byte* block, float* HWY_RESTRICT y) {
    const std::uint8_t *low = bytes_at(block), *high = bytes_at(block + 128);
    const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
    const float d = half_at(block + 208);
    for (int half = 0; half < 2; ++half, low += 64, high += 32)
        for (int quarter = 0; quarter < 4; ++quarter, scales += 2, y += 32) {
            const float scale[2] = {d * static_cast<float>(scales[0]), d * static_cast<float>(scales[1])};
            const std::uint8_t* q = low + 32 * (quarter & 1);
            const int shift = quarter < 2 ? 0 : 4;
            for (int part = 0; part < 2; ++part)
                for (int l = 16 * part; l < 16 * part + 16; ++l)
                    y[l] =
                        scale[part] * static_cast<float>((((q[l] >> shift) & 15) | (((high[l] >> (2 * quarter)) & 3) << 4)) - 32);
        }
}

void unpack_blocks(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::int64_t rows, float* to,
                   std::int64_t stride) {
    const auto each = [&](auto unpack) HWY_ATTR {
        for (std::int64_t r = 0; r < rows; ++r) unpack(blocks + r * block_bytes, to + r * stride);
    };
    switch (type) {
        case BlockType::q8_0:
            return each([](const std::byte* b, float* y) HWY_ATTR { unpack_q8_0(b, y); });
        case BlockType::q4_0:
            return each([](const std::byte* b, float* y) HWY_ATTR { unpack_q4_0(b, y); });
        case BlockType::q4_k:
            return each([](const std::byte* b, float* y) HWY_ATTR { unpack_q4_k(b, y); });
        case BlockType::q5_k:
            return each([](const std::byte* b, float* y) HWY_ATTR { unpack_q5_k(b, y); });
        case BlockType::q6_k:
            return each([](const std::byte* b, float* y) HWY_ATTR { unpack_q6_k(b, y); });
    }
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(unpack_blocks);

void unpack_blocks(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::int64_t rows, float* to,
                   std::int64_t stride) {
    HWY_DYNAMIC_DISPATCH(unpack_blocks)(type, blocks, block_bytes, rows, to, stride);
}
}  // namespace t2i::cpu
#endif
