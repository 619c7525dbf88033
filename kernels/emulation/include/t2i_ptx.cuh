// The twin of kernels/cuda/ptx/t2i_ptx.cuh for kernels that run on the host: the same functions, fragment by fragment as the
// PTX ISA lays them out.
//
// Numerics of the products: a tensor core multiplies exactly, lines the products and the accumulator up with the largest of
// them, cuts off what does not fit, and adds (Fasi et al. 2021, "Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330).
// Here one bit is kept below those of an f32, the least that was found on any of them, so that a tolerance which holds here
// does not rest on a kinder sum than the card's.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "kernels/emulation/warp.h"

namespace t2i::cuda::ptx {

namespace emulated {

using emulation::warp_lanes;

inline float low_bf16(std::uint32_t both) {
    return std::bit_cast<float>(both << 16);
}
inline float high_bf16(std::uint32_t both) {
    return std::bit_cast<float>(both & 0xFFFF0000U);
}

// c + Σ a[i]·b[i] as the header says.
inline float truncating_sum(float c, const float* a, const float* b, int count) {
    double addends[17], plain = c, largest = std::fabs(c);
    addends[0] = c;
    for (int i = 0; i < count; ++i) {
        addends[i + 1] = static_cast<double>(a[i]) * b[i];  // exact: 16 significant bits
        plain += addends[i + 1];
        largest = std::max(largest, std::fabs(addends[i + 1]));
    }
    if (!std::isfinite(plain) || largest == 0.0) return static_cast<float>(plain);
    const int exponent = std::ilogb(largest);
    const double to_units = std::ldexp(1.0, 24 - exponent);
    double units = 0.0;
    for (int i = 0; i <= count; ++i) units += std::trunc(addends[i] * to_units);
    const double sum = units / to_units;
    // Rounding towards zero, too: the nearest f32 unless that is farther from zero.
    const auto nearest = static_cast<float>(sum);
    return std::fabs(nearest) > std::fabs(sum) ? std::nextafter(nearest, 0.0F) : nearest;
}

struct MmaOperands {
    float* d;                // 4, in and out
    const std::uint32_t* a;  // depth / 4
    const std::uint32_t* b;  // depth / 8
};

// D [16, 8] += A [16, depth] · B [depth, 8] from the fragments of 32 lanes.
inline void multiply(MmaOperands* const* operands, int depth) {
    float a[16][16], b[8][16];  // b: by column
    for (int lane = 0; lane < warp_lanes; ++lane) {
        const int group = lane / 4, pair = lane % 4 * 2;
        const MmaOperands& own = *operands[lane];
        for (int i = 0; i < depth / 4; ++i) {
            const int row = group + i % 2 * 8, column = pair + i / 2 * 8;
            a[row][column] = low_bf16(own.a[i]);
            a[row][column + 1] = high_bf16(own.a[i]);
        }
        for (int i = 0; i < depth / 8; ++i) {
            b[group][pair + i * 8] = low_bf16(own.b[i]);
            b[group][pair + i * 8 + 1] = high_bf16(own.b[i]);
        }
    }
    for (int lane = 0; lane < warp_lanes; ++lane)
        for (int i = 0; i < 4; ++i) {
            float& d = operands[lane]->d[i];
            d = truncating_sum(d, a[lane / 4 + i / 2 * 8], b[lane % 4 * 2 + i % 2], depth);
        }
}

inline void multiply(MmaOperands own, int depth, std::source_location where) {
    emulation::warp_collective(own, [=](MmaOperands* const* all) { multiply(all, depth); }, ~0U, where);
}

struct MatrixOperands {
    const void* row;
    std::uint32_t* r;
};

// ldmatrix of `count` matrices of 8 x 8.
inline void load_matrices(MatrixOperands* const* operands, int count, bool transposed) {
    for (int matrix = 0; matrix < count; ++matrix) {
        std::uint16_t elements[8][8];
        for (int row = 0; row < 8; ++row) {
            const void* from = operands[8 * matrix + row]->row;
            emulation::check_shared(from, 16, 16, "ldmatrix");
            std::memcpy(elements[row], from, 16);
        }
        for (int lane = 0; lane < warp_lanes; ++lane) {
            const int group = lane / 4, pair = lane % 4 * 2;
            const auto at = [&](int i) -> std::uint32_t {
                return transposed ? elements[pair + i][group] : elements[group][pair + i];
            };
            operands[lane]->r[matrix] = at(0) | at(1) << 16;
        }
    }
}
inline void load_matrices(std::uint32_t* r, const void* row, int count, bool transposed, std::source_location where) {
    MatrixOperands own{row, r};
    emulation::warp_collective(own, [=](MatrixOperands* const* all) { load_matrices(all, count, transposed); }, ~0U, where);
}

}  // namespace emulated

inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                         std::source_location where = std::source_location::current()) {
    const std::uint32_t b[2] = {b0, b1};
    emulated::multiply({d, a, b}, 16, where);
}
inline void mma_m16n8k8(float (&d)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t b0,
                        std::source_location where = std::source_location::current()) {
    const std::uint32_t a[2] = {a0, a1}, b[1] = {b0};
    emulated::multiply({d, a, b}, 8, where);
}

inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* shared_row,
                        std::source_location where = std::source_location::current()) {
    emulated::load_matrices(r, shared_row, 4, false, where);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* shared_row,
                        std::source_location where = std::source_location::current()) {
    emulated::load_matrices(r, shared_row, 2, false, where);
}
inline void ldmatrix_x4_transposed(std::uint32_t (&r)[4], const void* shared_row,
                                   std::source_location where = std::source_location::current()) {
    emulated::load_matrices(r, shared_row, 4, true, where);
}
inline void ldmatrix_x2_transposed(std::uint32_t (&r)[2], const void* shared_row,
                                   std::source_location where = std::source_location::current()) {
    emulated::load_matrices(r, shared_row, 2, true, where);
}

// Copies are done when they are waited for, not before: a kernel that forgets to wait reads what was there.
inline void cp_async_16(void* shared, const void* global, bool wanted) {
    emulation::start_copy(shared, global, 16, wanted);
}
inline void cp_async_commit() {
    emulation::close_copy_group();
}
template <int groups>
inline void cp_async_wait() {
    emulation::wait_for_copy_groups(groups);
}

inline float exp2_approximate(float x) {
    const float y = std::exp2(x);
    return y < 0x1p-126F ? 0.0F : y;  // flushed to zero; NaN stays
}

inline std::uint32_t to_bf16x2(float low, float high) {
    const auto round = [](float x) -> std::uint32_t {
        if (std::isnan(x)) return 0x7FFFU;  // the one NaN that cvt makes
        const auto bits = std::bit_cast<std::uint32_t>(x);
        return (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    };
    return round(low) | round(high) << 16;
}

}  // namespace t2i::cuda::ptx
