// How far a backend may be from the reference, derived from how it must round.
#pragma once

#include <cmath>

#include "workloads/op_cases.h"

namespace t2i::test {

constexpr double unit = 0x1p-24;  // largest relative error of one rounding to f32

// Sums of products. One f32 sum of K terms in any order errs by at most K·u·Σ|aᵢbᵢ| (Higham 2002, eq. 3.5);
// errors that do not conspire grow as √K, and 4·√K + 8 of them still leave room for the bias, gate, residual
// and the slope (below 1.13) and rounding of an activation. `magnitude` is Σ|aᵢbᵢ| with those included, from
// the reference.
inline double product_tolerance(const OpCase& c, double magnitude) {
    return (4 * std::sqrt(static_cast<double>(c.terms)) + 8) * unit * 1.2 * magnitude;
}

// A 3x3 convolution by F(4x4, 3x3) (kernels/cpu/winograd-inl.h) of inputs |d| ≤ x and filters |g| ≤ w, both 2
// among the small integers. A component, at the points p and q, sums Cin products of a transformed input, at
// most β_p·β_q·x, and a transformed filter, at most γ_p·γ_q·w, where β_p = Σⱼ|B_pj| and γ_p = Σⱼ|G_pj|; an
// output is a sum of components times A_kp·A_lq. So all terms behind one have magnitudes of at most
// Cin·x·w·(max_k Σ_p |A_kp|·β_p·γ_p)² in sum, and with the points 0, ±5/8, ±3/2 and ∞ the square is 563.9.
// Each term is rounded 6 times on its way in (3 fused steps an axis), once in the filter, Cin times in the
// sum, 8 times on its way out (4 an axis) and twice for bias and residual. As above, errors that do not
// conspire grow as 4·√Cin, and the other 17 are counted in full. The result stays below 1/2 up to 64
// channels, so that a wrong integer is seen.
inline double winograd_tolerance(const OpCase& c) {
    constexpr double x = 2, w = 2, growth = 563.9;
    const auto channels = static_cast<double>(c.winograd_channels);
    return (4 * std::sqrt(channels) + 17) * unit * channels * x * w * growth;
}

// Attention with |q|, |k|, |v| ≤ a: a score is a sum of D products below a², scaled by 1/√D, so it errs by
// 4·√D·u·√D·a²; exp turns that into a relative error of a weight, and the output is a mean of v ≤ a. The sums
// over keys, below T + D = terms, add 8·√terms, exp and the division the rest.
inline double attention_tolerance(const OpCase& c, double a) {
    const auto d = static_cast<double>(c.head_size);
    const double scores = 4 * d * a * a + std::sqrt(d) * a * a;
    return (scores + 8 * std::sqrt(static_cast<double>(c.terms)) + 16) * unit * a;
}

// Everything else, from the reference's value.
inline double tolerance_of(Op op, double expected) {
    const double size = std::fabs(expected);
    switch (op) {
        // A normalised value is of order one and carries the rounding of mean and deviation, a few dozen at
        // most; it is multiplied by 1 + scale ≤ 3 or a weight ≤ 2.
        case Op::norm_modulate:
        case Op::rms_norm:
        case Op::group_norm:
        // The stream itself, too: one product and one sum, rounded once or twice.
        case Op::residual_norm:
            return 64 * unit * (1 + size);
        // exp turns the rounding of its argument into a relative error of as many units as the argument is
        // large: about 20 where the result still counts.
        case Op::unary:
            return 64 * unit * size + 1e-30;
        case Op::gated_gelu:
            return 64 * unit * size + 1e-30;
        case Op::timestep_embed:
            return 4 * unit;
        // Moves, conversions and sums in double that both round once.
        default:
            return 0;
    }
}

// A value that f32 rounding moved across a bf16 boundary lands one bf16 step away: 2⁻⁷ of it.
inline double storage_tolerance(DType out, double expected) {
    return out == DType::bf16 ? 0x1p-7 * std::fabs(expected) : 0.0;
}

}  // namespace t2i::test
