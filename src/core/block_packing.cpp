#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/block_layout.h"
#include "core/blocks.h"
#include "core/check.h"
#include "t2i/error.h"

namespace t2i {
namespace {

using namespace blocks;

[[noreturn]] void too_large(DType dtype) {
    throw Error(ErrorCode::input, "values too large for " + std::string(name_of(dtype)) + ": a scale does not fit f16");
}

// The f16 nearest to a scale of `dtype`.
std::uint16_t half_scale(float scale, DType dtype) {
    const f16 half = to_f16(scale);
    if ((half.bits & 0x7C00U) == 0x7C00U) too_large(dtype);
    return half.bits;
}

// Nearest integer of a value that is clamped to [0, highest] first; ties go up.
int nearest(float value, int highest) {
    return static_cast<int>(std::clamp(value, 0.0F, static_cast<float>(highest)) + 0.5F);
}

// Of a scale; 0 for those that f16 makes zero anyway and whose reciprocal may not be finite.
float reciprocal(float x) {
    return std::abs(x) < std::numeric_limits<float>::min() ? 0.0F : 1.0F / x;
}

void pack(const float* x, Q8_0& b) {
    float largest = 0.0F;
    for (int j = 0; j < 32; ++j) largest = std::max(largest, std::abs(x[j]));
    const float d = largest / 127.0F, inverse = reciprocal(d);
    b.d = half_scale(d, DType::q8_0);
    for (int j = 0; j < 32; ++j) b.q[j] = static_cast<std::int8_t>(std::round(x[j] * inverse));
}

void pack(const float* x, Q4_0& b) {
    float extreme = 0.0F;  // of the largest magnitude, with its sign: it becomes -8
    for (int j = 0; j < 32; ++j)
        if (std::abs(x[j]) > std::abs(extreme)) extreme = x[j];
    const float d = extreme / -8.0F, inverse = reciprocal(d);
    b.d = half_scale(d, DType::q4_0);
    const auto q = [&](int j) { return std::min(15, static_cast<int>(x[j] * inverse + 8.5F)); };
    for (int j = 0; j < 16; ++j) b.q[j] = static_cast<std::uint8_t>(q(j) | (q(j + 16) << 4));
}

// x ≈ scale · q - minimum with q in 0 … highest.
struct Affine {
    float scale = 0.0F, minimum = 0.0F;
};

// Four values at a time, which GCC and clang make vectors of on every machine: the sums' order is the same everywhere.
using Four = float __attribute__((vector_size(16)));
using FourIntegers = std::int32_t __attribute__((vector_size(16)));
constexpr int width = 4;

Four four_at(const float* x) {
    Four v;
    std::memcpy(&v, x, sizeof v);
    return v;
}
float total(Four sums) {
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// The integers that a scale and a minimum give n values.
template <int n>
struct Integers {
    Four q[n / width];
    Integers(const float* x, Affine a, int highest) {
        const float inverse = reciprocal(a.scale);
        const Four none{}, most = none + static_cast<float>(highest);
        for (int i = 0; i < n / width; ++i) {
            Four v = (four_at(x + width * i) + a.minimum) * inverse;
            v = v < none ? none : v;
            v = v > most ? most : v;
            q[i] = __builtin_convertvector(__builtin_convertvector(v + 0.5F, FourIntegers), Four);
        }
    }
};

template <int n>
float squared_error(const float* x, Affine a, const Integers<n>& integers) {
    Four sums{};
    for (int i = 0; i < n / width; ++i) {
        const Four rest = a.scale * integers.q[i] - a.minimum - four_at(x + width * i);
        sums += rest * rest;
    }
    return total(sums);
}
template <int n>
float squared_error(const float* x, Affine a, int highest) {
    return squared_error<n>(x, a, Integers<n>(x, a, highest));
}

// The best scale and minimum (both not negative) for given integers: ordinary least squares.
template <int n>
Affine refit(const float* x, Affine start, const Integers<n>& integers) {
    Four q_sums{}, qq_sums{}, x_sums{}, qx_sums{};
    for (int i = 0; i < n / width; ++i) {
        const Four q = integers.q[i], value = four_at(x + width * i);
        q_sums += q;
        qq_sums += q * q;
        x_sums += value;
        qx_sums += q * value;
    }
    const float q1 = total(q_sums), q2 = total(qq_sums), x1 = total(x_sums), qx = total(qx_sums);
    const float determinant = n * q2 - q1 * q1;
    if (determinant <= 0.0F) return start;
    Affine a{(n * qx - q1 * x1) / determinant, (q1 * qx - q2 * x1) / determinant};
    if (a.minimum < 0.0F) a = {qx / q2, 0.0F};
    return a.scale > 0.0F ? a : start;
}

// Candidates are ranges that are cut a little, so that outliers are clamped where that helps the others.
template <int n>
Affine best_affine(const float* x, int highest) {
    const auto [least, most] = std::minmax_element(x, x + n);
    const float low = std::min(*least, 0.0F), range = *most - low;
    if (range <= 0.0F) return {0.0F, -low};
    Affine best{range / static_cast<float>(highest), -low};
    float least_error = squared_error<n>(x, best, highest);
    constexpr int candidates = 20;
    for (int i = 0; i <= candidates; ++i) {
        const float steps = static_cast<float>(highest) - 1.0F + 0.1F * static_cast<float>(i);
        const Affine start{range / steps, -low};
        const Integers<n> q(x, start, highest);
        const Affine a = refit<n>(x, start, q);
        const float error = squared_error<n>(x, a, q);
        if (error >= least_error) continue;
        least_error = error;
        best = a;
    }
    return best;
}

// What the eight runs of q4_k and q5_k share.
struct SharedScales {
    float d = 0.0F, minimum = 0.0F;  // exactly those of the block, f16
    ScaleAndMinimum runs[8]{};
    [[nodiscard]] Affine run(int j) const {
        return {d * static_cast<float>(runs[j].scale), minimum * static_cast<float>(runs[j].minimum)};
    }
};

// Moves a run's two integers to the best of their neighbours, given what the block shares.
void settle(const float* x, int highest, SharedScales& s, int j) {
    const ScaleAndMinimum start = s.runs[j];
    ScaleAndMinimum best = start;
    float least_error = squared_error<32>(x, s.run(j), highest);
    for (int scale = std::max(0, start.scale - 1); scale <= std::min(63, start.scale + 1); ++scale)
        for (int minimum = std::max(0, start.minimum - 1); minimum <= std::min(63, start.minimum + 1); ++minimum) {
            s.runs[j] = {scale, minimum};
            const float error = squared_error<32>(x, s.run(j), highest);
            if (error >= least_error) continue;
            least_error = error;
            best = s.runs[j];
        }
    s.runs[j] = best;
}

template <typename Block>
SharedScales shared_scales(const float* x, int highest, DType dtype, Block& b) {
    Affine runs[8];
    float scale = 0.0F, minimum = 0.0F;
    for (int j = 0; j < 8; ++j) {
        runs[j] = best_affine<32>(x + 32 * j, highest);
        scale = std::max(scale, runs[j].scale);
        minimum = std::max(minimum, runs[j].minimum);
    }
    b.d = half_scale(scale / 63.0F, dtype);
    b.minimum = half_scale(minimum / 63.0F, dtype);
    SharedScales s{.d = to_f32(f16{b.d}), .minimum = to_f32(f16{b.minimum})};
    for (int j = 0; j < 8; ++j) {
        s.runs[j] = {nearest(runs[j].scale * reciprocal(s.d), 63), nearest(runs[j].minimum * reciprocal(s.minimum), 63)};
        settle(x + 32 * j, highest, s, j);
    }
    return s;
}

// q4_k and q5_k: `put_fifth(i, bit)` keeps the fifth bit of value i.
template <typename Block, typename PutFifth>
void pack_with_minima(const float* x, int highest, DType dtype, Block& b, PutFifth put_fifth) {
    const SharedScales s = shared_scales(x, highest, dtype, b);
    for (int j = 0; j < 8; ++j) {
        set_scale_and_minimum(b.scales, j, s.runs[j]);
        const Affine a = s.run(j);
        const float inverse = reciprocal(a.scale);
        for (int l = 0; l < 32; ++l) {
            const int q = nearest((x[32 * j + l] + a.minimum) * inverse, highest);
            std::uint8_t& byte = b.q[j / 2 * 32 + l];
            byte = static_cast<std::uint8_t>(byte | ((q & 15) << (j % 2 * 4)));
            put_fifth(32 * j + l, q >> 4);
        }
    }
}

void pack(const float* x, Q4_K& b) {
    pack_with_minima(x, 15, DType::q4_k, b, [](int, int) {});
}

void pack(const float* x, Q5_K& b) {
    pack_with_minima(x, 31, DType::q5_k, b,
                     [&](int i, int bit) { b.high[i % 32] = static_cast<std::uint8_t>(b.high[i % 32] | (bit << (i / 32))); });
}

// x ≈ scale · (q - 32) with q in 0 … 63.
constexpr int middle = 32, highest_q6 = 63;

float q6(float x, float inverse) {
    return static_cast<float>(nearest(x * inverse + middle, highest_q6) - middle);
}

// The integers of 16 values, less the middle.
struct Q6Integers {
    Four q[16 / width];
    Q6Integers(const float* x, float inverse) {
        const Four none{}, most = none + static_cast<float>(highest_q6);
        for (int i = 0; i < 16 / width; ++i) {
            Four v = four_at(x + width * i) * inverse + static_cast<float>(middle);
            v = v < none ? none : v;
            v = v > most ? most : v;
            q[i] = __builtin_convertvector(__builtin_convertvector(v + 0.5F, FourIntegers) - middle, Four);
        }
    }
};

float best_q6_scale(const float* x) {
    float extreme = 0.0F;
    for (int i = 0; i < 16; ++i)
        if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
    if (extreme == 0.0F) return 0.0F;
    // With the integers given, the best scale is Σqx / Σq², and it takes (Σqx)² / Σq² off the error.
    float best = 0.0F, most = -1.0F;
    constexpr int candidates = 18;
    for (int c = 0; c <= candidates; ++c) {
        const Q6Integers integers(x, -(31.1F + 0.1F * static_cast<float>(c)) / extreme);
        Four qx_sums{}, qq_sums{};
        for (int i = 0; i < 16 / width; ++i) {
            qx_sums += integers.q[i] * four_at(x + width * i);
            qq_sums += integers.q[i] * integers.q[i];
        }
        const float qx = total(qx_sums), q2 = total(qq_sums);
        if (q2 == 0.0F || qx * qx <= most * q2) continue;
        most = qx * qx / q2;
        best = qx / q2;
    }
    return best;
}

float q6_error(const float* x, float scale) {
    const Q6Integers integers(x, reciprocal(scale));
    Four sums{};
    for (int i = 0; i < 16 / width; ++i) {
        const Four rest = scale * integers.q[i] - four_at(x + width * i);
        sums += rest * rest;
    }
    return total(sums);
}

void pack(const float* x, Q6_K& b) {
    float scales[16], extreme = 0.0F;
    for (int j = 0; j < 16; ++j) {
        scales[j] = best_q6_scale(x + 16 * j);
        if (std::abs(scales[j]) > std::abs(extreme)) extreme = scales[j];
    }
    b.d = half_scale(extreme / -128.0F, DType::q6_k);
    const float d = to_f32(f16{b.d});
    for (int j = 0; j < 16; ++j) {
        const auto start = static_cast<int>(std::clamp(std::round(scales[j] * reciprocal(d)), -128.0F, 127.0F));
        int best = start;
        for (const int s : {start - 1, start + 1})
            if (s >= -128 && s <= 127 &&
                q6_error(x + 16 * j, d * static_cast<float>(s)) < q6_error(x + 16 * j, d * static_cast<float>(best)))
                best = s;
        b.scales[j] = static_cast<std::int8_t>(best);
        const float inverse = reciprocal(d * static_cast<float>(best));
        for (int i = 16 * j; i < 16 * (j + 1); ++i) {
            const int q = static_cast<int>(q6(x[i], inverse)) + middle, part = i / 128, quarter = i % 128 / 32, l = i % 32;
            std::uint8_t &low = b.low[64 * part + l + 32 * (quarter & 1)], &high = b.high[32 * part + l];
            low = static_cast<std::uint8_t>(low | ((q & 15) << (quarter < 2 ? 0 : 4)));
            high = static_cast<std::uint8_t>(high | ((q >> 4) << (2 * quarter)));
        }
    }
}

template <typename Block>
void pack_all(const float* from, std::size_t count, DType dtype, void* to) {
    const auto elements = static_cast<std::size_t>(block_of(dtype).elements);
    for (std::size_t i = 0; i < count / elements; ++i) {
        // Far beyond every scale, and before sums of squares overflow.
        if (std::any_of(from + i * elements, from + (i + 1) * elements, [](float x) { return std::abs(x) > 1e15F; }))
            too_large(dtype);
        Block block{};
        pack(from + i * elements, block);
        std::memcpy(static_cast<std::byte*>(to) + i * sizeof(Block), &block, sizeof(Block));
    }
}

}  // namespace

void pack_blocks(const float* from, std::size_t count, DType dtype, void* to) {
    (void)bytes_of(dtype, static_cast<std::int64_t>(count));  // throws where these are no whole blocks
    switch (dtype) {
        case DType::q8_0:
            return pack_all<Q8_0>(from, count, dtype, to);
        case DType::q4_0:
            return pack_all<Q4_0>(from, count, dtype, to);
        case DType::q4_k:
            return pack_all<Q4_K>(from, count, dtype, to);
        case DType::q5_k:
            return pack_all<Q5_K>(from, count, dtype, to);
        case DType::q6_k:
            return pack_all<Q6_K>(from, count, dtype, to);
        default:
            T2I_CHECK(is_block_type(dtype), std::string(name_of(dtype)) + " is no block type");
    }
}

}  // namespace t2i
