// The inner loop of matrix products: a few rows times one panel, sums in registers.
// Include inside no namespace, after hwy/foreach_target.h.
#if defined(T2I_KERNELS_CPU_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef T2I_KERNELS_CPU_PRODUCT_INL_H_
#undef T2I_KERNELS_CPU_PRODUCT_INL_H_
#else
#define T2I_KERNELS_CPU_PRODUCT_INL_H_
#endif

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {

// A panel is two vectors wide: 6 rows then take 12 of 16 registers for sums, 12 rows take 24 of AVX-512's 32.
constexpr std::int64_t kPanel = 2 * kLanes;
constexpr int kRows = HWY_TARGET == HWY_AVX3 ? 12 : 6;

// sums[r][0 … kPanel) = Σ over taps and k of rows[t · tap_stride + r][k] · panel[t · k + k][.]  for r < R.
template <int R>
HWY_NOINLINE void multiply_rows(const float* const* rows, std::int64_t tap_stride, std::int64_t taps, std::int64_t k,
                                const float* HWY_RESTRICT panel, float* HWY_RESTRICT sums) {
    const F32 d;
    VF low[R], high[R];
    HWY_UNROLL(12)
    for (int r = 0; r < R; ++r) low[r] = high[r] = hn::Zero(d);
    for (std::int64_t t = 0; t < taps; ++t) {
        const float* row[R];
        HWY_UNROLL(12)
        for (int r = 0; r < R; ++r) row[r] = rows[t * tap_stride + r];
        for (std::int64_t i = 0; i < k; ++i) {
            const VF p0 = hn::Load(d, panel), p1 = hn::Load(d, panel + kLanes);
            panel += kPanel;
            HWY_UNROLL(12)
            for (int r = 0; r < R; ++r) {
                const VF x = hn::Set(d, row[r][i]);
                low[r] = hn::MulAdd(x, p0, low[r]);
                high[r] = hn::MulAdd(x, p1, high[r]);
            }
        }
    }
    HWY_UNROLL(12)
    for (int r = 0; r < R; ++r) {
        hn::Store(low[r], d, sums + r * kPanel);
        hn::Store(high[r], d, sums + r * kPanel + kLanes);
    }
}

// multiply_rows for any `count` in [1, kRows]; each count has its own loop.
template <int R = kRows>
HWY_INLINE void multiply_up_to(std::int64_t count, const float* const* rows, std::int64_t tap_stride, std::int64_t taps,
                               std::int64_t k, const float* HWY_RESTRICT panel, float* HWY_RESTRICT sums) {
    if constexpr (R > 1)
        if (count < R) return multiply_up_to<R - 1>(count, rows, tap_stride, taps, k, panel, sums);
    multiply_rows<R>(rows, tap_stride, taps, k, panel, sums);
}

}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
