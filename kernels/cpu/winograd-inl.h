// The transforms of 3x3 convolutions with fewer multiplications: F(4x4, 3x3) of Lavin & Gray 2015
// (arXiv:1509.09308). A tile of 4x4 outputs is Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, with g the filter and d the 6x6
// inputs that the tile sees. Along one axis that multiplies polynomials by their values at six points,
// 0, ±a, ±b and ∞ (Toom and Cook). With M(x) = x(x² - a²)(x² - b²), a row of Bᵀ holds the coefficients of
// M(x)/(x - p) (of M itself at ∞), a row of G is (1, p, p²)/M'(p), a column of Aᵀ is (1, p, p², p³):
//        a²b²   0   -a²-b²    0     1  0          1   0   0  / a²b²
//          0  -ab²   -b²      a     1  0          1   a   a² / 2a²(a²-b²)         1 1  1  1  1 0
//   Bᵀ =   0   ab²   -b²     -a     1  0     G =  1  -a   a² / 2a²(a²-b²)   Aᵀ =  0 a -a  b -b 0
//          0  -ba²   -a²      b     1  0          1   b   b² / 2b²(b²-a²)         0 a² a² b² b² 0
//          0   ba²   -a²     -b     1  0          1  -b   b² / 2b²(b²-a²)         0 a³ -a³ b³ -b³ 1
//          0   a²b²    0   -a²-b²   0  1          0   0   1
// The product ⊙ is one small matrix product over the channels for each of the 36 components, so that an
// output takes 2.25 multiplications a channel instead of 9.
//
// a = 5/8 and b = 3/2: all entries of Bᵀ and Aᵀ are exact in f32, and Σₚ |Aₖₚ|·Σⱼ|Bₚⱼ|·Σⱼ|Gₚⱼ|, which bounds
// how rounding grows, is 23.8 at most, against 48 with the usual 1 and 2; errors are half as large.
//
// Of a picture that is doubled first (nearest neighbour) a tile of F(2x2, 3x3) at an even pixel, whose points
// are 0, ±1 and ∞, sees (p, q, q, r) along each axis. The component of the point -1, q - q, is then zero;
// without it, and with the factor 2 of that of 1 moved to G, 9 components are left, made from 3x3 pixels of
// the small picture, 2.25 multiplications an output too, and small integers stay exact:
//        1 -1  0         1 0 0
//   Bᵀ = 0  1  0    G =  1 1 1    Aᵀ = 1 1  0
//        0  1 -1         0 0 1         0 1 -1
//
// Include inside no namespace, after hwy/foreach_target.h.
#if defined(T2I_KERNELS_CPU_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef T2I_KERNELS_CPU_WINOGRAD_INL_H_
#undef T2I_KERNELS_CPU_WINOGRAD_INL_H_
#else
#define T2I_KERNELS_CPU_WINOGRAD_INL_H_
#endif

#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {

// Along one axis: components, how many inputs apart two tiles are, and how many outputs a tile has.
// `input` is Bᵀ and `output` Aᵀ of vectors `by` apart.
struct WholeForm {
    static constexpr int components = 6, step = 4, outputs = 4;
    static constexpr double a = 0.625, b = 1.5, a2 = a * a, b2 = b * b;
    static constexpr double at_a = 2 * a2 * (a2 - b2), at_b = 2 * b2 * (b2 - a2);
    static constexpr double filter[components][3] = {
        {1 / (a2 * b2), 0, 0},           {1 / at_a, a / at_a, a2 / at_a},  {1 / at_a, -a / at_a, a2 / at_a},
        {1 / at_b, b / at_b, b2 / at_b}, {1 / at_b, -b / at_b, b2 / at_b}, {0, 0, 1}};

    static HWY_INLINE VF number(double x) { return hn::Set(F32(), static_cast<float>(x)); }

    static HWY_INLINE void input(const VF* d, VF* t) {
        const VF both = number(a2 * b2), sum = number(a2 + b2);
        t[0] = hn::NegMulAdd(sum, d[2], hn::MulAdd(both, d[0], d[4]));
        t[5] = hn::NegMulAdd(sum, d[3], hn::MulAdd(both, d[1], d[5]));
        const VF even_a = hn::NegMulAdd(number(b2), d[2], d[4]), odd_a = hn::NegMulAdd(number(b2), d[1], d[3]);
        t[1] = hn::MulAdd(number(a), odd_a, even_a);
        t[2] = hn::NegMulAdd(number(a), odd_a, even_a);
        const VF even_b = hn::NegMulAdd(number(a2), d[2], d[4]), odd_b = hn::NegMulAdd(number(a2), d[1], d[3]);
        t[3] = hn::MulAdd(number(b), odd_b, even_b);
        t[4] = hn::NegMulAdd(number(b), odd_b, even_b);
    }
    static HWY_INLINE void output(const VF* m, VF* y) {
        const VF even_a = hn::Add(m[1], m[2]), odd_a = hn::Sub(m[1], m[2]);
        const VF even_b = hn::Add(m[3], m[4]), odd_b = hn::Sub(m[3], m[4]);
        y[0] = hn::Add(m[0], hn::Add(even_a, even_b));
        y[1] = hn::MulAdd(number(b), odd_b, hn::Mul(number(a), odd_a));
        y[2] = hn::MulAdd(number(b2), even_b, hn::Mul(number(a2), even_a));
        y[3] = hn::MulAdd(number(b2 * b), odd_b, hn::MulAdd(number(a2 * a), odd_a, m[5]));
    }
};

struct DoubledForm {
    static constexpr int components = 3, step = 1, outputs = 2;
    static constexpr double filter[components][3] = {{1, 0, 0}, {1, 1, 1}, {0, 0, 1}};

    static HWY_INLINE void input(const VF* d, VF* t) {
        t[0] = hn::Sub(d[0], d[1]);
        t[1] = d[1];
        t[2] = hn::Sub(d[1], d[2]);
    }
    static HWY_INLINE void output(const VF* m, VF* y) {
        y[0] = hn::Add(m[0], m[1]);
        y[1] = hn::Sub(m[1], m[2]);
    }
};

// Calls run(form) with the form of a picture that is doubled first or not.
template <typename Run>
HWY_INLINE auto with_form(bool doubled, Run run) {
    return doubled ? run(DoubledForm()) : run(WholeForm());
}

// G g Gᵀ of a filter [3, 3] at component (i, j).
template <typename Form>
HWY_INLINE float filter_component(const float* g, int i, int j) {
    double sum = 0;
    for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 3; ++x) sum += Form::filter[i][y] * Form::filter[j][x] * static_cast<double>(g[y * 3 + x]);
    return static_cast<float>(sum);
}

// Bᵀ d B of up to kRows neighbouring tiles, one vector of channels: the first tile's first pixel is at
// rows[.], pixels are `channels` floats apart. Component i of tile t goes to to[i · next + t · kLanes].
template <typename Form>
HWY_INLINE void transform_inputs(const float* const* rows, std::int64_t channels, std::int64_t tiles, float* HWY_RESTRICT to,
                                 std::int64_t next) {
    constexpr int N = Form::components, step = Form::step;
    if constexpr (step == 1) {  // two columns stay in registers
        VF d[N], before[N], middle[N], last[N];
        const auto column_at = [&](std::int64_t x, VF* t) HWY_ATTR {
            HWY_UNROLL(3)
            for (int i = 0; i < N; ++i) d[i] = load(rows[i] + x * channels);
            Form::input(d, t);
        };
        column_at(0, before);
        column_at(1, middle);
        for (std::int64_t tile = 0; tile < tiles; ++tile, to += kLanes) {
            column_at(tile + 2, last);
            HWY_UNROLL(3)
            for (int l = 0; l < N; ++l) {
                const VF along[N] = {before[l], middle[l], last[l]};
                VF t[N];
                Form::input(along, t);
                HWY_UNROLL(3)
                for (int i = 0; i < N; ++i) store(t[i], to + (N * l + i) * next);
                before[l] = middle[l];
                middle[l] = last[l];
            }
        }
        return;
    }
    // Columns first, into memory that stays in the first-level cache: neighbours share N - step of them, and
    // all N together would not fit the registers.
    HWY_ALIGN float columns[(step * kRows + N - step) * N * kLanes];
    const std::int64_t pixels = tiles * step + N - step;
    float* HWY_RESTRICT column = columns;
    for (std::int64_t x = 0; x < pixels; ++x, column += N * kLanes) {
        VF d[N], t[N];
        HWY_UNROLL(6)
        for (int i = 0; i < N; ++i) d[i] = load(rows[i] + x * channels);
        Form::input(d, t);
        HWY_UNROLL(6)
        for (int i = 0; i < N; ++i) store(t[i], column + i * kLanes);
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile, to += kLanes)
        for (int l = 0; l < N; ++l) {
            const float* HWY_RESTRICT from = columns + (tile * step * N + l) * kLanes;
            VF d[N], t[N];
            HWY_UNROLL(6)
            for (int i = 0; i < N; ++i) d[i] = load(from + i * N * kLanes);
            Form::input(d, t);
            HWY_UNROLL(6)
            for (int i = 0; i < N; ++i) store(t[i], to + (N * l + i) * next);
        }
}

// Aᵀ m A of one tile, components `next` floats apart; put(y, x, value) takes the first `height` rows.
template <typename Form, typename Put>
HWY_INLINE void transform_outputs(const float* HWY_RESTRICT m, std::int64_t next, std::int64_t height, Put put) {
    constexpr int N = Form::components, outputs = Form::outputs;
    VF rows[outputs * N];
    HWY_UNROLL(6)
    for (int i = 0; i < N; ++i) {
        VF d[N], y[outputs];
        HWY_UNROLL(6)
        for (int l = 0; l < N; ++l) d[l] = load(m + (l * N + i) * next);
        Form::output(d, y);
        HWY_UNROLL(4)
        for (int k = 0; k < outputs; ++k) rows[k * N + i] = y[k];
    }
    const auto put_row = [&](std::int64_t k) HWY_ATTR {
        VF y[outputs];
        Form::output(rows + k * N, y);
        HWY_UNROLL(4)
        for (int x = 0; x < outputs; ++x) put(k, x, y[x]);
    };
    if constexpr (outputs == 2) {  // without a loop `rows` stays in registers
        put_row(0);
        if (height > 1) put_row(1);
    } else {
        for (std::int64_t k = 0; k < height; ++k) put_row(k);
    }
}

}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
