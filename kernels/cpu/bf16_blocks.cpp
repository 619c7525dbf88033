// Block types as panels of bf16, by AVX-512. The numbers are those of unpack_blocks(), rounded to bf16; CMakeLists.txt turns
// contraction off for this file, too. Not through Highway, as bf16_product.cpp, whose kernels multiply these panels.
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own intrinsics start from undefined registers on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace t2i::cpu {

#if defined(__x86_64__)
namespace {

#define T2I_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,f16c"), always_inline)) inline

// 32 values: integers, the scale of each half, and what is subtracted from all.
struct Run {
    __m256i q;
    float scale[2];
    float below;
};

T2I_AVX512 float half_at(const std::byte* p) {
    unsigned short bits;
    std::memcpy(&bits, p, sizeof bits);
    return _cvtsh_ss(bits);
}
T2I_AVX512 __m256i load(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
// Bits [shift, shift + 4) of each byte, 0 or 4.
T2I_AVX512 __m256i nibbles(__m256i bytes, int shift) {
    return _mm256_and_si256(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift)), _mm256_set1_epi8(15));
}
T2I_AVX512 int byte_at(const std::byte* p) {
    return static_cast<int>(*p);
}

struct Q8_0 {
    static constexpr int runs = 1;
    T2I_AVX512 static Run run(const std::byte* block, int) {
        const float d = half_at(block);
        return {load(block + 2), {d, d}, 0.0F};
    }
};

struct Q4_0 {
    static constexpr int runs = 1;
    T2I_AVX512 static Run run(const std::byte* block, int) {
        const float d = half_at(block);
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2)), mask = _mm_set1_epi8(15);
        const __m256i q = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask), _mm_and_si128(bytes, mask));
        return {_mm256_sub_epi8(q, _mm256_set1_epi8(8)), {d, d}, 0.0F};
    }
};

T2I_AVX512 Run with_minimum(const std::byte* block, int j, __m256i q) {
    const std::byte* s = block + 4;
    const int scale = j < 4 ? byte_at(s + j) & 63 : (byte_at(s + j + 4) & 15) | ((byte_at(s + j - 4) >> 6) << 4);
    const int minimum = j < 4 ? byte_at(s + j + 4) & 63 : (byte_at(s + j + 4) >> 4) | ((byte_at(s + j) >> 6) << 4);
    const float d = half_at(block) * static_cast<float>(scale);
    return {q, {d, d}, half_at(block + 2) * static_cast<float>(minimum)};
}

struct Q4_K {
    static constexpr int runs = 8;
    T2I_AVX512 static Run run(const std::byte* block, int j) {
        return with_minimum(block, j, nibbles(load(block + 16 + j / 2 * 32), j % 2 * 4));
    }
};

struct Q5_K {
    static constexpr int runs = 8;
    T2I_AVX512 static Run run(const std::byte* block, int j) {
        const __m256i low = nibbles(load(block + 48 + j / 2 * 32), j % 2 * 4);
        const __m256i is_set = _mm256_and_si256(load(block + 16), _mm256_set1_epi8(static_cast<char>(1 << j)));
        const __m256i high = _mm256_andnot_si256(_mm256_cmpeq_epi8(is_set, _mm256_setzero_si256()), _mm256_set1_epi8(16));
        return with_minimum(block, j, _mm256_or_si256(low, high));
    }
};

struct Q6_K {
    static constexpr int runs = 8;
    T2I_AVX512 static Run run(const std::byte* block, int j) {
        const int part = j / 4, quarter = j % 4;
        const __m256i low = nibbles(load(block + 64 * part + 32 * (quarter & 1)), quarter / 2 * 4);
        const __m256i high = _mm256_and_si256(_mm256_srl_epi16(load(block + 128 + 32 * part), _mm_cvtsi32_si128(2 * quarter)),
                                              _mm256_set1_epi8(3));
        const __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)), _mm256_set1_epi8(32));
        const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192 + 2 * j);
        const float d = half_at(block + 208);
        return {q, {d * static_cast<float>(scales[0]), d * static_cast<float>(scales[1])}, 0.0F};
    }
};

template <typename Block>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,f16c"))) void unpack_rows(const std::byte* blocks,
                                                                                      std::int64_t block_bytes,
                                                                                      std::uint16_t* panel) {
    constexpr std::int64_t rows = 16, panel_step = bf16_panel * bf16_step;
    alignas(64) std::uint16_t values[rows * bf16_step];
    for (int j = 0; j < Block::runs; ++j, panel += panel_step) {
        for (std::int64_t r = 0; r < rows; ++r) {
            const Run run = Block::run(blocks + r * block_bytes, j);
            const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(run.q)));
            const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(run.q, 1)));
            const __m512 below = _mm512_set1_ps(run.below);
            const __m512 y0 = _mm512_sub_ps(_mm512_mul_ps(low, _mm512_set1_ps(run.scale[0])), below);
            const __m512 y1 = _mm512_sub_ps(_mm512_mul_ps(high, _mm512_set1_ps(run.scale[1])), below);
            _mm512_store_si512(values + r * bf16_step, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(y1, y0)));
        }
        pack_bf16_tile(values, bf16_step, panel);
    }
}

}  // namespace

void unpack_bf16_tiles(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::uint16_t* panel) {
    switch (type) {
        case BlockType::q8_0:
            return unpack_rows<Q8_0>(blocks, block_bytes, panel);
        case BlockType::q4_0:
            return unpack_rows<Q4_0>(blocks, block_bytes, panel);
        case BlockType::q4_k:
            return unpack_rows<Q4_K>(blocks, block_bytes, panel);
        case BlockType::q5_k:
            return unpack_rows<Q5_K>(blocks, block_bytes, panel);
        case BlockType::q6_k:
            return unpack_rows<Q6_K>(blocks, block_bytes, panel);
    }
}

#else

// bf16_kernel() offers none here, so that nobody may call it.
void unpack_bf16_tiles(BlockType, const std::byte*, std::int64_t, std::uint16_t*) {
    std::abort();
}

#endif

}  // namespace t2i::cpu
