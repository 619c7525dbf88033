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

#define T2I_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,f16c")))
#define T2I_AVX512 T2I_AVX512_BF16 __attribute__((always_inline)) inline

constexpr int rows = 16;

// 32 values of a block: integers, the scale of each half, and what is subtracted from all.
struct Run {
    __m256i q;
    float scale[2];
    float below;
};

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

// The half at `offset` of one block of each row.
T2I_AVX512 void halves_of(const std::byte* blocks, std::int64_t block_bytes, std::int64_t offset, float* to) {
    alignas(32) std::uint16_t halves[rows];
    for (int r = 0; r < rows; ++r) std::memcpy(halves + r, blocks + r * block_bytes + offset, sizeof *halves);
    _mm512_store_ps(to, _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(halves))));
}

// Of each type: runs of a block, where its scale is, where that of its minima is (-1: it has none), and run(block, j, scale,
// scale of the minima).
struct Q8_0 {
    static constexpr int runs = 1, scale_at = 0, minimum_at = -1;
    T2I_AVX512 static Run run(const std::byte* block, int, float d, float) { return {load(block + 2), {d, d}, 0.0F}; }
};

struct Q4_0 {
    static constexpr int runs = 1, scale_at = 0, minimum_at = -1;
    T2I_AVX512 static Run run(const std::byte* block, int, float d, float) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 2)), mask = _mm_set1_epi8(15);
        const __m256i q = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask), _mm_and_si128(bytes, mask));
        return {_mm256_sub_epi8(q, _mm256_set1_epi8(8)), {d, d}, 0.0F};
    }
};

T2I_AVX512 Run with_minimum(const std::byte* block, int j, __m256i q, float d, float below) {
    const std::byte* s = block + 4;
    const int scale = j < 4 ? byte_at(s + j) & 63 : (byte_at(s + j + 4) & 15) | ((byte_at(s + j - 4) >> 6) << 4);
    const int minimum = j < 4 ? byte_at(s + j + 4) & 63 : (byte_at(s + j + 4) >> 4) | ((byte_at(s + j) >> 6) << 4);
    d *= static_cast<float>(scale);
    return {q, {d, d}, below * static_cast<float>(minimum)};
}

struct Q4_K {
    static constexpr int runs = 8, scale_at = 0, minimum_at = 2;
    T2I_AVX512 static Run run(const std::byte* block, int j, float d, float below) {
        return with_minimum(block, j, nibbles(load(block + 16 + j / 2 * 32), j % 2 * 4), d, below);
    }
};

struct Q5_K {
    static constexpr int runs = 8, scale_at = 0, minimum_at = 2;
    T2I_AVX512 static Run run(const std::byte* block, int j, float d, float below) {
        const __m256i low = nibbles(load(block + 48 + j / 2 * 32), j % 2 * 4);
        const __m256i is_set = _mm256_and_si256(load(block + 16), _mm256_set1_epi8(static_cast<char>(1 << j)));
        const __m256i high = _mm256_andnot_si256(_mm256_cmpeq_epi8(is_set, _mm256_setzero_si256()), _mm256_set1_epi8(16));
        return with_minimum(block, j, _mm256_or_si256(low, high), d, below);
    }
};

struct Q6_K {
    static constexpr int runs = 8, scale_at = 208, minimum_at = -1;
    T2I_AVX512 static Run run(const std::byte* block, int j, float d, float) {
        const int part = j / 4, quarter = j % 4;
        const __m256i low = nibbles(load(block + 64 * part + 32 * (quarter & 1)), quarter / 2 * 4);
        const __m256i high = _mm256_and_si256(_mm256_srl_epi16(load(block + 128 + 32 * part), _mm_cvtsi32_si128(2 * quarter)),
                                              _mm256_set1_epi8(3));
        const __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)), _mm256_set1_epi8(32));
        const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192 + 2 * j);
        return {q, {d * static_cast<float>(scales[0]), d * static_cast<float>(scales[1])}, 0.0F};
    }
};

// 16 rows of 32 bytes, transposed as pairs. a[i]: rows i and i + 8, one after the other. pairs[j]: 16 bytes each of pair j of the
// rows below 8, pair j + 8 of those, pair j of the rows from 8, pair j + 8 of those. Before the bytes become numbers of two
// bytes, this takes 24 exchanges of whole registers in place of 64 after.
T2I_AVX512 void transpose_pairs(__m512i* a, __m512i* pairs) {
    __m512i b[8];
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm512_unpacklo_epi16(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi16(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; ++j) {
            a[i + 2 * j] = _mm512_unpacklo_epi32(b[i + j], b[i + j + 2]);
            a[i + 2 * j + 1] = _mm512_unpackhi_epi32(b[i + j], b[i + j + 2]);
        }
    for (int i = 0; i < 4; ++i) {
        _mm512_store_si512(pairs + 2 * i, _mm512_unpacklo_epi64(a[i], a[4 + i]));
        _mm512_store_si512(pairs + 2 * i + 1, _mm512_unpackhi_epi64(a[i], a[4 + i]));
    }
}

// A number of each row, twice each: of rows 0 to 7 and of rows 8 to 15.
struct Twice {
    __m512 of[2];
};
T2I_AVX512 Twice twice(const float* values) {
    const __m512 all = _mm512_load_ps(values);
    const __m512i first = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return {{_mm512_permutexvar_ps(first, all), _mm512_permutexvar_ps(_mm512_add_epi32(first, _mm512_set1_epi32(8)), all)}};
}

// One block of each of 16 rows; take(j, pair, those two elements of K of all rows in bf16) for each pair of each run.
template <typename Block, typename Take>
T2I_AVX512 void unpack_rows(const std::byte* blocks, std::int64_t block_bytes, Take& take) {
    constexpr bool has_minima = Block::minimum_at >= 0;
    alignas(64) float block_scales[rows], block_minima[rows], scales[2][rows], minima[rows];
    halves_of(blocks, block_bytes, Block::scale_at, block_scales);
    if constexpr (has_minima) halves_of(blocks, block_bytes, Block::minimum_at, block_minima);
    for (int j = 0; j < Block::runs; ++j) {
        __m512i q[rows / 2];
        alignas(64) __m512i pairs[rows / 2];
#pragma GCC unroll 8
        for (int r = 0; r < rows / 2; ++r) {
            const int both[2] = {r, r + rows / 2};
            __m256i integers[2];
            for (int i = 0; i < 2; ++i) {
                const int row = both[i];
                const Run run =
                    Block::run(blocks + row * block_bytes, j, block_scales[row], has_minima ? block_minima[row] : 0.0F);
                integers[i] = run.q;
                for (int half = 0; half < 2; ++half) scales[half][row] = run.scale[half];
                if constexpr (has_minima) minima[row] = run.below;
            }
            q[r] = _mm512_inserti64x4(_mm512_castsi256_si512(integers[0]), integers[1], 1);
        }
        transpose_pairs(q, pairs);
        const Twice below = has_minima ? twice(minima) : Twice{};
        for (int half = 0; half < 2; ++half) {
            const Twice scale = twice(scales[half]);
            for (int pair = 0; pair < 8; ++pair) {
                __m512 y[2];
                for (int i = 0; i < 2; ++i) {
                    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(pairs + pair) + 2 * i + half);
                    y[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), scale.of[i]);
                    if constexpr (has_minima) y[i] = _mm512_sub_ps(y[i], below.of[i]);
                }
                take(j, pair + 8 * half, _mm512_cvtne2ps_pbh(y[1], y[0]));
            }
        }
    }
}

struct IntoPanel {
    std::uint16_t* panel;
    T2I_AVX512 void operator()(int j, int pair, __m512bh w) const {
        _mm512_storeu_si512(panel + j * bf16_panel * bf16_step + pair * 2 * rows, reinterpret_cast<__m512i>(w));
    }
};

struct TimesRow {
    const std::uint16_t* x;
    __m512 sums;
    T2I_AVX512 void operator()(int j, int pair, __m512bh w) {
        std::int32_t two = 0;
        std::memcpy(&two, x + j * bf16_step + pair * 2, sizeof two);
        sums = _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(_mm512_set1_epi32(two)), w);
    }
};

template <typename Block>
T2I_AVX512_BF16 void into_panel(const std::byte* blocks, std::int64_t block_bytes, std::uint16_t* panel) {
    IntoPanel take{panel};
    unpack_rows<Block>(blocks, block_bytes, take);
}

template <typename Block>
T2I_AVX512_BF16 void times_row(const BlockColumns& w, const std::uint16_t* x, std::int64_t k, float* sums) {
    TimesRow take{x, _mm512_setzero_ps()};
    for (const std::byte* blocks = w.blocks; take.x < x + k; blocks += w.stride, take.x += w.block_values)
        unpack_rows<Block>(blocks, w.block_bytes, take);
    _mm512_storeu_ps(sums, take.sums);
}

template <typename Call>
void with_type(BlockType type, const Call& call) {
    switch (type) {
        case BlockType::q8_0:
            return call(Q8_0{});
        case BlockType::q4_0:
            return call(Q4_0{});
        case BlockType::q4_k:
            return call(Q4_K{});
        case BlockType::q5_k:
            return call(Q5_K{});
        case BlockType::q6_k:
            return call(Q6_K{});
    }
}

}  // namespace

void unpack_bf16_tiles(BlockType type, const std::byte* blocks, std::int64_t block_bytes, std::uint16_t* panel) {
    with_type(type, [&](auto block) { into_panel<decltype(block)>(blocks, block_bytes, panel); });
}

void multiply_block_tile(const BlockColumns& weights, const std::uint16_t* x, std::int64_t k, float* sums) {
    with_type(weights.type, [&](auto block) { times_row<decltype(block)>(weights, x, k, sums); });
}

#else

// bf16_kernel() offers none here, so that nobody may call these.
void unpack_bf16_tiles(BlockType, const std::byte*, std::int64_t, std::uint16_t*) {
    std::abort();
}
void multiply_block_tile(const BlockColumns&, const std::uint16_t*, std::int64_t, float*) {
    std::abort();
}

#endif

}  // namespace t2i::cpu
