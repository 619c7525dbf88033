#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

void apply(Function function, Elements x, std::int64_t count, MutableElements out) {
    with_function(function, [&](auto f) HWY_ATTR {
        with_type(x, [&](const auto* from) HWY_ATTR {
            with_type(out, [&](auto* to) HWY_ATTR {
                for (std::int64_t i = 0; i < count; i += kLanes) store_some(f(load_some(from + i, count - i)), to + i, count - i);
            });
        });
    });
}

void gated_gelu_row(Elements x, std::int64_t f, MutableElements out) {
    with_type(x, [&](const auto* from) HWY_ATTR {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(from)>>;
        auto* to = static_cast<T*>(out.data);
        for (std::int64_t i = 0; i < f; i += kLanes) {
            const VF gate = InStep<GeluTanh>()(load_some(from + i, f - i));
            store_some(hn::Mul(gate, load_some(from + f + i, f - i)), to + i, f - i);
        }
    });
}

void add_gated_row(Elements y, const float* gate, std::int64_t c, float* stream) {
    with_type(y, [&](const auto* from) HWY_ATTR {
        for (std::int64_t i = 0; i < c; i += kLanes) {
            const VF add = load_some(from + i, c - i), sum = load_some(stream + i, c - i);
            store_some(gate ? hn::MulAdd(load_some(gate + i, c - i), add, sum) : hn::Add(sum, add), stream + i, c - i);
        }
    });
}

void lincomb(const double* coefficients, const float* const* x, std::int64_t terms, std::int64_t count, float* out) {
    const hn::ScalableTag<double> d;
    const hn::Rebind<float, hn::ScalableTag<double>> df;
    constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<double>()));
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        auto sum = hn::Zero(d);
        for (std::int64_t t = 0; t < terms; ++t) {
            const auto product = hn::Mul(hn::Set(d, coefficients[t]), hn::PromoteTo(d, hn::LoadU(df, x[t] + i)));
            sum = hn::Add(sum, product);
        }
        hn::StoreU(hn::DemoteTo(df, sum), df, out + i);
    }
    for (; i < count; ++i) {
        double sum = 0;
        for (std::int64_t t = 0; t < terms; ++t) sum += coefficients[t] * static_cast<double>(x[t][i]);
        out[i] = static_cast<float>(sum);
    }
}

void to_rgb8(const float* x, std::int64_t count, std::uint8_t* out) {
    const F32 d;
    const hn::Rebind<std::uint8_t, F32> d8;
    const VF half = hn::Set(d, 0.5F), one = hn::Set(d, 1.0F), most = hn::Set(d, 255.0F);
    for (std::int64_t i = 0; i < count; i += kLanes) {
        const std::int64_t left = count - i;
        const VF unit = hn::MulAdd(load_some(x + i, left), half, half);  // the product is exact
        const VF inside = hn::Min(hn::IfThenElseZero(hn::Gt(unit, hn::Zero(d)), unit), one);
        const auto bytes = hn::DemoteTo(d8, hn::NearestInt(hn::Mul(inside, most)));
        if (left >= kLanes) {
            hn::StoreU(bytes, d8, out + i);
        } else {
            std::uint8_t padded[kLanes];
            hn::StoreU(bytes, d8, padded);
            copy_some(padded, out + i, left);
        }
    }
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(apply);
HWY_EXPORT(add_gated_row);
HWY_EXPORT(gated_gelu_row);
HWY_EXPORT(lincomb);
HWY_EXPORT(to_rgb8);

void apply(Function f, Elements x, std::int64_t count, MutableElements out) {
    HWY_DYNAMIC_DISPATCH(apply)(f, x, count, out);
}
void gated_gelu_row(Elements x, std::int64_t f, MutableElements out) {
    HWY_DYNAMIC_DISPATCH(gated_gelu_row)(x, f, out);
}
void add_gated_row(Elements y, const float* gate, std::int64_t c, float* stream) {
    HWY_DYNAMIC_DISPATCH(add_gated_row)(y, gate, c, stream);
}
void lincomb(const double* coefficients, const float* const* x, std::int64_t terms, std::int64_t count, float* out) {
    HWY_DYNAMIC_DISPATCH(lincomb)(coefficients, x, terms, count, out);
}
void to_rgb8(const float* x, std::int64_t count, std::uint8_t* out) {
    HWY_DYNAMIC_DISPATCH(to_rgb8)(x, count, out);
}
void convert(Elements x, std::int64_t count, MutableElements out) {
    apply(Function::identity, x, count, out);
}
}  // namespace t2i::cpu
#endif
