// Products of bf16 with sums in f32, by AMX or by AVX-512 BF16. Not through Highway, which has no AMX: each function
// names the instruction sets that it needs, and bf16_kernel() says which of them may be called.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own intrinsics start from undefined registers on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace t2i::cpu {
namespace {

constexpr std::int64_t tile = 16, step = bf16_step;  // columns or rows of a tile; elements of K at a time
constexpr std::int64_t tile_elements = tile * step;  // of a packed tile: [step / 2][columns][2]

#if defined(__x86_64__)

// Asked of the processor itself: clang 14's __builtin_cpu_supports knows neither name (Intel SDM volume 2A, CPUID, leaf 7).
bool has_amx() {
    constexpr unsigned amx_bf16 = 1U << 22, amx_tile = 1U << 24;  // of EDX
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & amx_bf16) != 0 && (edx & amx_tile) != 0;
}

// Linux gives a process the 8 KB of AMX state only when it asks for it (Documentation/arch/x86/xstate.rst).
bool amx_state_granted() {
    constexpr long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

Bf16Kernel best_kernel() {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw")) return Bf16Kernel::none;
    return has_amx() && amx_state_granted() ? Bf16Kernel::amx : Bf16Kernel::avx512;
}

bool is_amd() {
    return __builtin_cpu_is("amd");
}

#define T2I_AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))

// The shapes of the eight tiles: 0 to 3 sums, 4 and 5 rows of X, 6 and 7 columns of W.
struct alignas(64) TileShapes {
    std::uint8_t palette = 1, start = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
};

T2I_AMX void configure(std::int64_t upper, std::int64_t lower) {
    TileShapes shapes;
    for (int i = 0; i < 8; ++i) {
        shapes.bytes[i] = 64;
        const bool is_upper = i == 0 || i == 1 || i == 4, is_lower = i == 2 || i == 3 || i == 5;
        shapes.rows[i] = static_cast<std::uint8_t>(is_upper ? upper : is_lower ? std::max<std::int64_t>(1, lower) : tile);
    }
    _tile_loadconfig(&shapes);
}

// `steps` steps of up to 32 rows by 32 columns, added to the sums or starting them: with two tiles of each operand, four
// products share four loads.
template <bool TwoTiles>
T2I_AMX void amx_block(const std::uint16_t* x, std::int64_t stride, const std::uint16_t* w, std::int64_t steps, bool first,
                       const Bf16Rows& a, float* sums) {
    const std::int64_t row_bytes = a.sums_stride * static_cast<std::int64_t>(sizeof(float));
    float* lower = sums + tile * a.sums_stride;
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        if constexpr (TwoTiles) {
            _tile_zero(2);
            _tile_zero(3);
        }
    } else {
        _tile_loadd(0, sums, row_bytes);
        _tile_loadd(1, sums + tile, row_bytes);
        if constexpr (TwoTiles) {
            _tile_loadd(2, lower, row_bytes);
            _tile_loadd(3, lower + tile, row_bytes);
        }
    }
    const std::int64_t x_bytes = stride * static_cast<std::int64_t>(sizeof(std::uint16_t));
    for (std::int64_t s = 0; s < steps; ++s, x += step, w += 2 * tile_elements) {
        _tile_loadd(6, w, 64);
        _tile_loadd(7, w + tile_elements, 64);
        _tile_loadd(4, x, x_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if constexpr (TwoTiles) {
            _tile_loadd(5, x + tile * stride, x_bytes);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        if (a.overlapped) a.overlapped(a.context);
    }
    _tile_stored(0, sums, row_bytes);
    _tile_stored(1, sums + tile, row_bytes);
    if constexpr (TwoTiles) {
        _tile_stored(2, lower, row_bytes);
        _tile_stored(3, lower + tile, row_bytes);
    }
}

T2I_AMX void amx_rows(const Bf16Rows& a, float* sums) {
    // So much of a panel, 24 KB, stays in the first-level cache for all rows; these come from the second. Both from there
    // would be too much: 4 KB for four products of 16 cycles. Rows so long that they come from further away are better read
    // from end to end (measured at K = 4608: 1.69 against 1.31 TFLOP/s).
    constexpr std::int64_t longest = 72, in_first_level = 12;
    const std::int64_t cached_steps = a.steps > longest ? a.steps : in_first_level;
    const std::int64_t whole = a.rows / (2 * tile) * (2 * tile), rest = a.rows - whole;
    const auto all_steps = [&](std::int64_t begin, std::int64_t end, auto block) {
        for (std::int64_t p = 0; p < a.panels; ++p) {
            const std::uint16_t* w = a.panel + p * a.panel_stride;
            bool first = !a.goes_on;
            for (const std::uint16_t* x : {a.x, a.more})
                for (std::int64_t s = 0; x && s < a.steps; s += cached_steps, first = false)
                    for (std::int64_t row = begin; row < end; row += 2 * tile)
                        block(x + row * a.stride + s * step, a.stride, w + s * 2 * tile_elements,
                              std::min(cached_steps, a.steps - s), first, a, sums + row * a.sums_stride + p * bf16_panel);
        }
    };
    if (whole > 0) {
        configure(tile, tile);
        all_steps(0, whole, amx_block<true>);
    }
    if (rest > 0) {
        configure(std::min(tile, rest), rest - tile);
        all_steps(whole, a.rows, rest > tile ? amx_block<true> : amx_block<false>);
    }
    _tile_release();
}

#define T2I_AVX512 __attribute__((target("avx512f,avx512bw")))

// One tile of 16 columns: 16 rows of 32 elements, `stride` apart, transposed as pairs (4 rounds of exchanges between rows
// that are 1, 2, 4 and 8 apart).
T2I_AVX512 void pack_tile(const std::uint16_t* w, std::int64_t stride, std::uint16_t* to) {
    __m512i a[tile], b[tile];
    for (int i = 0; i < tile; ++i) a[i] = _mm512_loadu_si512(w + i * stride);
    for (int i = 0; i < tile; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < tile; i += 4)
        for (int j = 0; j < 2; ++j) {
            a[i + 2 * j] = _mm512_unpacklo_epi64(b[i + j], b[i + j + 2]);
            a[i + 2 * j + 1] = _mm512_unpackhi_epi64(b[i + j], b[i + j + 2]);
        }
    // Now a[4 q + r] holds, in its lane l of 128 bits, pair 4 l + r of the rows 4 q to 4 q + 3.
    for (int r = 0; r < 4; ++r) {
        const __m512i even = _mm512_shuffle_i32x4(a[r], a[4 + r], 0x88), odd = _mm512_shuffle_i32x4(a[r], a[4 + r], 0xdd),
                      even2 = _mm512_shuffle_i32x4(a[8 + r], a[12 + r], 0x88),
                      odd2 = _mm512_shuffle_i32x4(a[8 + r], a[12 + r], 0xdd);
        const __m512i lanes[4] = {_mm512_shuffle_i32x4(even, even2, 0x88), _mm512_shuffle_i32x4(odd, odd2, 0x88),
                                  _mm512_shuffle_i32x4(even, even2, 0xdd), _mm512_shuffle_i32x4(odd, odd2, 0xdd)};
        for (int l = 0; l < 4; ++l) _mm512_storeu_si512(to + (4 * l + r) * 2 * tile, lanes[l]);
    }
}

// 16 elements of two neighbours in K, side by side.
T2I_AVX512 void pack_pair(const std::uint16_t* even, const std::uint16_t* odd, std::uint16_t* to) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(even))),
                  high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(odd)));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

#define T2I_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512bf16")))

// R rows by 32 columns: 24 of the 32 registers hold sums at R = 12.
template <int R>
T2I_AVX512_BF16 void avx512_block(const Bf16Rows& a, std::int64_t row, const std::uint16_t* panel, float* sums) {
    __m512 low[R], high[R];
    for (int r = 0; r < R; ++r) {
        low[r] = a.goes_on ? _mm512_loadu_ps(sums + r * a.sums_stride) : _mm512_setzero_ps();
        high[r] = a.goes_on ? _mm512_loadu_ps(sums + r * a.sums_stride + tile) : _mm512_setzero_ps();
    }
    for (const std::uint16_t* x : {a.x, a.more}) {
        if (!x) continue;
        x += row * a.stride;
        const std::uint16_t* w = panel;
        for (std::int64_t s = 0; s < a.steps; ++s, x += step, w += 2 * tile_elements) {
            for (std::int64_t pair = 0; pair < step / 2; ++pair) {
                const auto w0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + pair * 2 * tile)),
                           w1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + tile_elements + pair * 2 * tile));
#pragma GCC unroll 12
                for (int r = 0; r < R; ++r) {
                    std::int32_t two = 0;
                    std::memcpy(&two, x + r * a.stride + pair * 2, sizeof two);
                    const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
                    low[r] = _mm512_dpbf16_ps(low[r], both, w0);
                    high[r] = _mm512_dpbf16_ps(high[r], both, w1);
                }
            }
            if (a.overlapped) a.overlapped(a.context);
        }
    }
    for (int r = 0; r < R; ++r) {
        _mm512_storeu_ps(sums + r * a.sums_stride, low[r]);
        _mm512_storeu_ps(sums + r * a.sums_stride + tile, high[r]);
    }
}

template <int R = 12>
void avx512_up_to(std::int64_t count, const Bf16Rows& a, std::int64_t row, const std::uint16_t* panel, float* sums) {
    if constexpr (R > 1)
        if (count < R) return avx512_up_to<R - 1>(count, a, row, panel, sums);
    avx512_block<R>(a, row, panel, sums);
}

void avx512_rows(const Bf16Rows& a, float* sums) {
    constexpr std::int64_t most_rows = 12;
    for (std::int64_t p = 0; p < a.panels; ++p)
        for (std::int64_t row = 0; row < a.rows; row += most_rows)
            avx512_up_to(std::min(most_rows, a.rows - row), a, row, a.panel + p * a.panel_stride,
                         sums + row * a.sums_stride + p * bf16_panel);
}

#else

Bf16Kernel best_kernel() {
    return Bf16Kernel::none;
}
bool is_amd() {
    return false;
}
// bf16_kernel() offers none here, so that nobody may call these.
void pack_tile(const std::uint16_t*, std::int64_t, std::uint16_t*) {
    std::abort();
}
void pack_pair(const std::uint16_t*, const std::uint16_t*, std::uint16_t*) {
    std::abort();
}
void amx_rows(const Bf16Rows&, float*) {
    std::abort();
}
void avx512_rows(const Bf16Rows&, float*) {
    std::abort();
}

#endif

}  // namespace

Bf16Kernel bf16_kernel() {
    static const Bf16Kernel best = best_kernel();
    return best;
}

bool bf16_is_quick(Bf16Kernel kernel) {
    return kernel == Bf16Kernel::amx || (kernel == Bf16Kernel::avx512 && is_amd());
}

void pack_bf16(const std::uint16_t* w, std::int64_t n, std::int64_t k, std::int64_t stride, std::uint16_t* panels) {
    for (std::int64_t begin = 0; begin < n; begin += bf16_panel)
        for (std::int64_t s = 0; s < k; s += step)
            for (std::int64_t column = begin; column < begin + bf16_panel; column += tile, panels += tile_elements)
                if (column + tile <= n && s + step <= k) pack_tile(w + column * stride + s, stride, panels);
                else
                    for (std::int64_t i = 0; i < step; ++i)
                        for (std::int64_t c = 0; c < tile; ++c)
                            panels[i / 2 * 2 * tile + 2 * c + i % 2] =
                                column + c < n && s + i < k ? w[(column + c) * stride + s + i] : std::uint16_t{0};
}

void pack_bf16_columns(const std::uint16_t* w, std::int64_t k, std::int64_t n, std::int64_t stride, std::uint16_t* panels) {
    for (std::int64_t begin = 0; begin < n; begin += bf16_panel)
        for (std::int64_t s = 0; s < k; s += step)
            for (std::int64_t column = begin; column < begin + bf16_panel; column += tile)
                for (std::int64_t i = s; i < s + step; i += 2, panels += 2 * tile)
                    if (column + tile <= n && i + 1 < k)
                        pack_pair(w + i * stride + column, w + (i + 1) * stride + column, panels);
                    else
                        for (std::int64_t c = 0; c < 2 * tile; ++c)
                            panels[c] =
                                column + c / 2 < n && i + c % 2 < k ? w[(i + c % 2) * stride + column + c / 2] : std::uint16_t{0};
}

void multiply_bf16(Bf16Kernel kernel, const Bf16Rows& rows, float* sums) {
    kernel == Bf16Kernel::amx ? amx_rows(rows, sums) : avx512_rows(rows, sums);
}

}  // namespace t2i::cpu
