// Loads, stores and functions that the CPU kernels share, compiled once per instruction set.
// Include inside no namespace, after hwy/foreach_target.h.
#if defined(T2I_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef T2I_KERNELS_CPU_SIMD_INL_H_
#undef T2I_KERNELS_CPU_SIMD_INL_H_
#else
#define T2I_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/cpu/cpu_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF = hn::Vec<F32>;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(F32()));

HWY_INLINE VF widen_bf16(const std::uint16_t* p) {
    const F32 d;
    const hn::RebindToUnsigned<F32> du;
    const hn::Rebind<std::uint16_t, F32> dh;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, p))));
}

// The upper halves of binary32 rounded to bf16, to nearest even; NaN stays NaN.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<F32>> upper_halves(VF v) {
    const hn::RebindToUnsigned<F32> du;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1U));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFU))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40U));
    return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}
HWY_INLINE void narrow_bf16(VF v, std::uint16_t* p) {
    const hn::RebindToSigned<F32> di;
    const hn::Rebind<std::uint16_t, F32> dh;
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, upper_halves(v))), dh, p);
}
HWY_INLINE VF round_to_bf16(VF v) {
    return hn::BitCast(F32(), hn::ShiftLeft<16>(upper_halves(v)));
}

HWY_INLINE VF load(const float* p) {
    return hn::LoadU(F32(), p);
}
HWY_INLINE VF load(const std::uint16_t* p) {
    return widen_bf16(p);
}
HWY_INLINE void store(VF v, float* p) {
    hn::StoreU(v, F32(), p);
}
HWY_INLINE void store(VF v, std::uint16_t* p) {
    narrow_bf16(v, p);
}

// Fewer than kLanes elements, in pieces of sizes that the compiler knows: no calls.
template <typename T>
HWY_INLINE void copy_some(const T* from, T* to, std::int64_t count) {
    const auto piece = [&]<std::int64_t Size>() {
        if (Size >= kLanes || !(count & Size)) return;
        std::memcpy(to, from, Size * sizeof(T));
        from += Size;
        to += Size;
    };
    static_assert(kLanes <= 16);
    piece.template operator()<8>();
    piece.template operator()<4>();
    piece.template operator()<2>();
    piece.template operator()<1>();
}

// The first `count` elements, zeros after them; never touches memory past them. The rare part is kept out of
// the loops.
template <typename T>
HWY_NOINLINE VF load_part(const T* p, std::int64_t count) {
    T padded[kLanes] = {};
    copy_some(p, padded, count);
    return load(padded);
}
template <typename T>
HWY_NOINLINE void store_part(VF v, T* p, std::int64_t count) {
    T padded[kLanes];
    store(v, padded);
    copy_some(padded, p, count);
}
template <typename T>
HWY_INLINE VF load_some(const T* p, std::int64_t count) {
    return count >= kLanes ? load(p) : load_part(p, count);
}
template <typename T>
HWY_INLINE void store_some(VF v, T* p, std::int64_t count) {
    count >= kLanes ? store(v, p) : store_part(v, p, count);
}

// Calls f with the typed pointer of `e`.
template <typename F>
HWY_INLINE void with_type(Elements e, F f) {
    if (e.is_bf16) f(static_cast<const std::uint16_t*>(e.data));
    else f(static_cast<const float*>(e.data));
}
template <typename F>
HWY_INLINE void with_type(MutableElements e, F f) {
    if (e.is_bf16) f(static_cast<std::uint16_t*>(e.data));
    else f(static_cast<float*>(e.data));
}

// e^x to about 1 ULP on [-87.3, 88]; outside, the value at the bound. Range reduction and coefficients of
// Cephes' expf. Min and Max keep x as second operand because x86 returns that one when it is NaN. K vectors
// go through it in step: one alone is a chain of some 60 cycles, and a processor holds only a few in flight.
template <int K>
HWY_INLINE void exp_all(VF* HWY_RESTRICT x) {
    const F32 d;
    const hn::RebindToSigned<F32> di;
    // Added to a small number it leaves that number, rounded, in the lowest bits.
    const VF rounder = hn::Set(d, 12582912.0F);  // 1.5 · 2²³
    VF n[K], r[K], p[K];
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) x[i] = hn::Min(hn::Set(d, 88.0F), hn::Max(hn::Set(d, -87.3F), x[i]));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) n[i] = hn::MulAdd(x[i], hn::Set(d, 1.44269504F), rounder);
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) r[i] = hn::NegMulAdd(hn::Sub(n[i], rounder), hn::Set(d, 0.693359375F), x[i]);
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) r[i] = hn::NegMulAdd(hn::Sub(n[i], rounder), hn::Set(d, -2.12194440e-4F), r[i]);
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::MulAdd(hn::Set(d, 1.9875691500e-4F), r[i], hn::Set(d, 1.3981999507e-3F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::MulAdd(p[i], r[i], hn::Set(d, 8.3334519073e-3F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::MulAdd(p[i], r[i], hn::Set(d, 4.1665795894e-2F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::MulAdd(p[i], r[i], hn::Set(d, 1.6666665459e-1F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::MulAdd(p[i], r[i], hn::Set(d, 5.0000001201e-1F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) p[i] = hn::Add(hn::MulAdd(hn::Mul(r[i], r[i]), p[i], r[i]), hn::Set(d, 1.0F));
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) {
        const auto power = hn::ShiftLeft<23>(hn::Add(hn::BitCast(di, n[i]), hn::Set(di, 127)));
        x[i] = hn::Mul(p[i], hn::BitCast(d, power));
    }
}
HWY_INLINE VF exp_f32(VF x) {
    exp_all<1>(&x);
    return x;
}

// x ← x · σ(of), of K vectors in step.
template <int K>
HWY_INLINE void sigmoid_times(VF* HWY_RESTRICT x, VF* HWY_RESTRICT of) {
    const VF one = hn::Set(F32(), 1.0F);
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) of[i] = hn::Neg(of[i]);
    exp_all<K>(of);
    HWY_UNROLL(4)
    for (int i = 0; i < K; ++i) x[i] = hn::Div(x[i], hn::Add(one, of[i]));
}

struct Silu {
    template <int K>
    static HWY_INLINE void all(VF* HWY_RESTRICT x) {
        VF of[K];
        HWY_UNROLL(4)
        for (int i = 0; i < K; ++i) of[i] = x[i];
        sigmoid_times<K>(x, of);
    }
};

// ½x(1 + tanh u) = x·σ(2u), which keeps its relative precision where tanh u is near -1.
struct GeluTanh {
    template <int K>
    static HWY_INLINE void all(VF* HWY_RESTRICT x) {
        const F32 d;
        VF of[K];
        HWY_UNROLL(4)
        for (int i = 0; i < K; ++i) {
            const VF cubic = hn::MulAdd(hn::Mul(hn::Mul(x[i], x[i]), hn::Set(d, 0.044715F)), x[i], x[i]);
            of[i] = hn::Mul(cubic, hn::Set(d, 1.5957691216F));  // 2·√(2/π)
        }
        sigmoid_times<K>(x, of);
    }
};

// 3·tanh(x / 3) = 3·sign(x)·(1 - e)/(1 + e), e = exp(-2|x|/3); below |x/3| = 1/4 tanh's odd series, since
// there 1 - e cancels.
HWY_INLINE VF soft_clamp3_f32(VF x) {
    const F32 d;
    const VF t = hn::Mul(x, hn::Set(d, 1.0F / 3.0F)), one = hn::Set(d, 1.0F);
    const VF e = exp_f32(hn::Mul(hn::Abs(t), hn::Set(d, -2.0F)));
    const VF large = hn::CopySign(hn::Div(hn::Sub(one, e), hn::Add(one, e)), t);
    const VF s = hn::Mul(t, t);
    VF series = hn::Set(d, 62.0F / 2835.0F);
    series = hn::MulAdd(series, s, hn::Set(d, -17.0F / 315.0F));
    series = hn::MulAdd(series, s, hn::Set(d, 2.0F / 15.0F));
    series = hn::MulAdd(series, s, hn::Set(d, -1.0F / 3.0F));
    const VF small = hn::MulAdd(hn::Mul(series, s), t, t);
    return hn::Mul(hn::Set(d, 3.0F), hn::IfThenElse(hn::Lt(hn::Abs(t), hn::Set(d, 0.25F)), small, large));
}

// max(x, 0) that keeps NaN (see exp_f32).
HWY_INLINE VF relu_f32(VF x) {
    return hn::Max(hn::Zero(F32()), x);
}

// f of one vector, and of K vectors that go through it in step.
template <typename F>
struct InStep : F {
    HWY_INLINE VF operator()(VF x) const {
        F::template all<1>(&x);
        return x;
    }
};
template <int K, typename F>
HWY_INLINE void apply_all(const F& f, VF* HWY_RESTRICT x) {
    if constexpr (requires { f.template all<K>(x); }) f.template all<K>(x);
    else
        for (int i = 0; i < K; ++i) x[i] = f(x[i]);
}

// Calls run(f) with the vector form of `function`, so that the choice stands outside the loop.
template <typename Run>
HWY_INLINE void with_function(Function function, Run run) {
    switch (function) {
        case Function::identity:
            return run([](VF x) HWY_ATTR { return x; });
        case Function::relu:
            return run([](VF x) HWY_ATTR { return relu_f32(x); });
        case Function::silu:
            return run(InStep<Silu>());
        case Function::gelu_tanh:
            return run(InStep<GeluTanh>());
        case Function::soft_clamp3:
            return run([](VF x) HWY_ATTR { return soft_clamp3_f32(x); });
        case Function::exp:
            return run([](VF x) HWY_ATTR { return exp_f32(x); });
    }
}

// to = f((from - mean[c]) · gain[c] + shift[c]) over [pixels, channels], pixels `from_stride` and `to_stride`
// elements apart.
template <typename T, typename U, typename F>
HWY_INLINE void normalise_pixels(const T* from, std::int64_t from_stride, U* to, std::int64_t to_stride, std::int64_t pixels,
                                 std::int64_t channels, const float* mean, const float* gain, const float* shift, F f) {
    constexpr int K = 4;
    constexpr std::int64_t block = 16;  // pixels that stay in the first-level cache for all channels
    for (std::int64_t begin = 0; begin < pixels; begin += block)
        for (std::int64_t c = 0; c < channels; c += kLanes) {
            const std::int64_t end = HWY_MIN(begin + block, pixels), left = channels - c;
            const VF m = load_some(mean + c, left), g = load_some(gain + c, left), s = load_some(shift + c, left);
            const auto scaled = [&](std::int64_t p) HWY_ATTR {
                return hn::MulAdd(hn::Sub(load_some(from + p * from_stride + c, left), m), g, s);
            };
            std::int64_t p = begin;
            for (; p + K <= end; p += K) {
                VF v[K];
                for (int i = 0; i < K; ++i) v[i] = scaled(p + i);
                apply_all<K>(f, v);
                for (int i = 0; i < K; ++i) store_some(v[i], to + (p + i) * to_stride + c, left);
            }
            for (; p < end; ++p) store_some(f(scaled(p)), to + p * to_stride + c, left);
        }
}

}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
