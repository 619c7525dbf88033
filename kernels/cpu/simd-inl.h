// Loads, stores and functions that the CPU kernels share, compiled once per instruction set.
// Include inside no namespace, after hwy/foreach_target.h.
#if defined(T2I_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef T2I_KERNELS_CPU_SIMD_INL_H_
#undef T2I_KERNELS_CPU_SIMD_INL_H_
#else
#define T2I_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstring>

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

// Rounds to nearest even; NaN stays NaN.
HWY_INLINE void narrow_bf16(VF v, std::uint16_t* p) {
    const F32 d;
    const hn::RebindToUnsigned<F32> du;
    const hn::RebindToSigned<F32> di;
    const hn::Rebind<std::uint16_t, F32> dh;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1U));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFU))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40U));
    const auto chosen = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, chosen)), dh, p);
    static_cast<void>(d);
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

// The first `count` elements, zeros after them; never touches memory past them.
template <typename T>
HWY_INLINE VF load_some(const T* p, std::int64_t count) {
    if (count >= kLanes) return load(p);
    T padded[kLanes] = {};
    std::memcpy(padded, p, static_cast<std::size_t>(count) * sizeof(T));
    return load(padded);
}
template <typename T>
HWY_INLINE void store_some(VF v, T* p, std::int64_t count) {
    if (count >= kLanes) return store(v, p);
    T padded[kLanes];
    store(v, padded);
    std::memcpy(p, padded, static_cast<std::size_t>(count) * sizeof(T));
}

// Calls f with the typed pointer of `e`.
template <typename F>
HWY_INLINE void with_type(Elements e, F f) {
    if (e.is_bf16)
        f(static_cast<const std::uint16_t*>(e.data));
    else
        f(static_cast<const float*>(e.data));
}
template <typename F>
HWY_INLINE void with_type(MutableElements e, F f) {
    if (e.is_bf16)
        f(static_cast<std::uint16_t*>(e.data));
    else
        f(static_cast<float*>(e.data));
}

// e^x to about 1 ULP on [-87.3, 88]; outside, the value at the bound. Range reduction and coefficients of
// Cephes' expf. Min and Max keep x as second operand because x86 returns that one when it is NaN.
HWY_INLINE VF exp_f32(VF x) {
    const F32 d;
    const hn::RebindToSigned<F32> di;
    x = hn::Min(hn::Set(d, 88.0F), hn::Max(hn::Set(d, -87.3F), x));
    const VF n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504F)));
    VF r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);
    r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
    VF p = hn::Set(d, 1.9875691500e-4F);
    p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3F));
    p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3F));
    p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2F));
    p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1F));
    p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1F));
    p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0F));
    const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
    return hn::Mul(p, hn::BitCast(d, power));
}

HWY_INLINE VF sigmoid_times(VF x, VF of) {  // x · σ(of)
    const F32 d;
    return hn::Div(x, hn::Add(hn::Set(d, 1.0F), exp_f32(hn::Neg(of))));
}

// ½x(1 + tanh u) = x·σ(2u), which keeps its relative precision where tanh u is near -1.
HWY_INLINE VF gelu_tanh_f32(VF x) {
    const F32 d;
    const VF cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715F)), x, x);
    return sigmoid_times(x, hn::Mul(cubic, hn::Set(d, 1.5957691216F)));  // 2·√(2/π)
}

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

// Calls run(f) with the vector form of `function`, so that the choice stands outside the loop.
template <typename Run>
HWY_INLINE void with_function(Function function, Run run) {
    switch (function) {
        case Function::identity:
            return run([](VF x) HWY_ATTR { return x; });
        case Function::relu:
            return run([](VF x) HWY_ATTR { return relu_f32(x); });
        case Function::silu:
            return run([](VF x) HWY_ATTR { return sigmoid_times(x, x); });
        case Function::gelu_tanh:
            return run([](VF x) HWY_ATTR { return gelu_tanh_f32(x); });
        case Function::soft_clamp3:
            return run([](VF x) HWY_ATTR { return soft_clamp3_f32(x); });
    }
}

}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
