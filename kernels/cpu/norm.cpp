#include <cmath>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

// Σ f(i) over whole vectors i of [0, c), plus the tail through load_some inside f (whose padding must add
// nothing). Two chains of additions, for latency; the order depends on c alone.
template <typename F>
HWY_INLINE float sum_over(std::int64_t c, F f) {
    const F32 d;
    VF even = hn::Zero(d), odd = hn::Zero(d);
    for (std::int64_t i = 0; i < c; i += 2 * kLanes) {
        even = hn::Add(even, f(i));
        if (i + kLanes < c) odd = hn::Add(odd, f(i + kLanes));
    }
    return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

void norm_modulate_row(const float* x, const float* shift, const float* scale, std::int64_t c, float eps, MutableElements out) {
    const F32 d;
    const auto count = static_cast<float>(c);
    const float mean = sum_over(c, [&](std::int64_t i) HWY_ATTR { return load_some(x + i, c - i); }) / count;
    const VF center = hn::Set(d, mean);
    const float squares = sum_over(c, [&](std::int64_t i) HWY_ATTR {
        VF deviation = hn::Sub(load_some(x + i, c - i), center);
        if (c - i < kLanes) deviation = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(c - i)), deviation);
        return hn::Mul(deviation, deviation);
    });
    const VF inverse = hn::Set(d, 1.0F / std::sqrt(squares / count + eps)), one = hn::Set(d, 1.0F);
    with_type(out, [&](auto* to) HWY_ATTR {
        for (std::int64_t i = 0; i < c; i += kLanes) {
            const VF normal = hn::Mul(hn::Sub(load_some(x + i, c - i), center), inverse);
            const VF gain = hn::Add(one, load_some(scale + i, c - i));
            store_some(hn::MulAdd(normal, gain, load_some(shift + i, c - i)), to + i, c - i);
        }
    });
}

void rms_norm_row(const float* x, const float* weight, std::int64_t c, float eps, MutableElements out) {
    const float squares = sum_over(c, [&](std::int64_t i) HWY_ATTR {
        const VF v = load_some(x + i, c - i);
        return hn::Mul(v, v);
    });
    const VF inverse = hn::Set(F32(), 1.0F / std::sqrt(squares / static_cast<float>(c) + eps));
    with_type(out, [&](auto* to) HWY_ATTR {
        for (std::int64_t i = 0; i < c; i += kLanes)
            store_some(hn::Mul(hn::Mul(load_some(x + i, c - i), inverse), load_some(weight + i, c - i)), to + i, c - i);
    });
}

void group_moments(Elements x, std::int64_t pixels, std::int64_t channels, std::int64_t groups, float* scratch,
                   Moments* moments) {
    const std::int64_t width = channels / groups;
    float* sums = scratch;              // [channels]
    float* means = scratch + channels;  // [channels], each group's mean repeated
    // sums[c] = Σ term(value, channel) over the pixels, which are few enough for f32 to hold; four chains of
    // additions, for latency.
    const auto accumulate = [&](auto term) HWY_ATTR {
        with_type(x, [&](const auto* data) HWY_ATTR {
            const F32 d;
            for (std::int64_t c = 0; c < channels; c += kLanes) {
                const std::int64_t left = channels - c;
                const auto at = [&](std::int64_t p) HWY_ATTR { return term(load_some(data + p * channels + c, left), c); };
                VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
                std::int64_t p = 0;
                for (; p + 4 <= pixels; p += 4) {
                    s0 = hn::Add(s0, at(p));
                    s1 = hn::Add(s1, at(p + 1));
                    s2 = hn::Add(s2, at(p + 2));
                    s3 = hn::Add(s3, at(p + 3));
                }
                for (; p < pixels; ++p) s0 = hn::Add(s0, at(p));
                store_some(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), sums + c, left);
            }
        });
    };
    const auto total = [&](std::int64_t group) {
        double sum = 0;
        for (std::int64_t c = group * width; c < (group + 1) * width; ++c) sum += sums[c];
        return sum;
    };
    const auto count = static_cast<double>(width * pixels);
    accumulate([](VF v, std::int64_t) HWY_ATTR { return v; });
    for (std::int64_t g = 0; g < groups; ++g) {
        // Deviations are taken from the mean as rounded to f32, so that is the mean that is reported.
        const auto mean = static_cast<float>(total(g) / count);
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c) means[c] = mean;
        moments[g].count = count;
        moments[g].mean = static_cast<double>(mean);
    }
    accumulate([&](VF v, std::int64_t c) HWY_ATTR {
        const VF deviation = hn::Sub(v, load_some(means + c, channels - c));
        return hn::Mul(deviation, deviation);
    });
    for (std::int64_t g = 0; g < groups; ++g) moments[g].squares = total(g);
}

void group_apply(Elements x, const float* mean, const float* gain, const float* bias, std::int64_t pixels, std::int64_t channels,
                 Function function, MutableElements out) {
    with_function(function, [&](auto f) HWY_ATTR {
        with_type(x, [&](const auto* from) HWY_ATTR {
            using T = std::remove_const_t<std::remove_pointer_t<decltype(from)>>;
            normalise_pixels(from, channels, static_cast<T*>(out.data), channels, pixels, channels, mean, gain, bias, f);
        });
    });
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(norm_modulate_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(group_moments);
HWY_EXPORT(group_apply);

void norm_modulate_row(const float* x, const float* shift, const float* scale, std::int64_t c, float eps, MutableElements out) {
    HWY_DYNAMIC_DISPATCH(norm_modulate_row)(x, shift, scale, c, eps, out);
}
void rms_norm_row(const float* x, const float* weight, std::int64_t c, float eps, MutableElements out) {
    HWY_DYNAMIC_DISPATCH(rms_norm_row)(x, weight, c, eps, out);
}
void group_moments(Elements x, std::int64_t pixels, std::int64_t channels, std::int64_t groups, float* scratch,
                   Moments* moments) {
    HWY_DYNAMIC_DISPATCH(group_moments)(x, pixels, channels, groups, scratch, moments);
}
void group_apply(Elements x, const float* mean, const float* gain, const float* bias, std::int64_t pixels, std::int64_t channels,
                 Function f, MutableElements out) {
    HWY_DYNAMIC_DISPATCH(group_apply)(x, mean, gain, bias, pixels, channels, f, out);
}

void join_moments(const Moments* moments, std::int64_t runs, std::int64_t stride, float eps, const float* weight,
                  std::int64_t channels, float* mean, float* gain) {
    Moments total{0, 0, 0};
    for (std::int64_t r = 0; r < runs; ++r) {
        const Moments& next = moments[r * stride];
        const double count = total.count + next.count, apart = next.mean - total.mean;
        total.mean += apart * next.count / count;
        total.squares += next.squares + apart * apart * total.count * next.count / count;
        total.count = count;
    }
    const double inverse = 1.0 / std::sqrt(total.squares / total.count + static_cast<double>(eps));
    for (std::int64_t c = 0; c < channels; ++c) {
        mean[c] = static_cast<float>(total.mean);
        gain[c] = static_cast<float>(inverse * static_cast<double>(weight[c]));
    }
}

}  // namespace t2i::cpu
#endif
