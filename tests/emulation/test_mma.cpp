// The emulated tensor-core instructions against the layouts as the PTX ISA words them, and the helpers of kernels/cuda/mma.cuh
// against plain products.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"
#include "support/catch.h"

using namespace t2i;
using namespace t2i::cuda;

namespace {

constexpr int lanes = 32;

std::uint16_t bf16_of(float x) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);  // for numbers that need no rounding
}
std::uint32_t pair_of(float low, float high) {
    return bf16_of(low) | static_cast<std::uint32_t>(bf16_of(high)) << 16;
}

// One warp does `work`.
template <typename Work>
void run_warp(Work work) {
    static Work* current;
    current = &work;
    launch(+[] { (*current)(lane_id()); }, dim3(1), dim3(lanes), 4096, nullptr);
}

// Row and column of element i of a fragment of A of m16n8k16, as the ISA words them.
int a_row(int lane, int i) {
    const int group = lane >> 2;
    return (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
}
int a_column(int lane, int i) {
    const int thread_in_group = lane % 4;
    return i < 4 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
}
// Of B and of the accumulators.
int b_row(int lane, int i) {
    const int thread_in_group = lane % 4;
    return i < 2 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
}
int b_column(int lane) {
    return lane >> 2;
}
int c_row(int lane, int i) {
    return i < 2 ? lane >> 2 : (lane >> 2) + 8;
}
int c_column(int lane, int i) {
    return lane % 4 * 2 + (i & 1);
}

// A number for every place of B that bf16 holds exactly.
float b_value(int row, int column) {
    return static_cast<float>(8 * row + column + 1);
}

}  // namespace

TEST_CASE("every element of a fragment of A and B is where the ISA says, m16n8k16") {
    // One element of A is 1: its row of D becomes a row of B.
    for (int owner = 0; owner < lanes; ++owner)
        for (int element = 0; element < 8; ++element) {
            std::array<std::array<float, 4>, lanes> d{};
            run_warp([&](int lane) {
                const auto one = [&](int i) { return lane == owner && i == element ? 1.0F : 0.0F; };
                std::uint32_t a[4];
                for (int i = 0; i < 4; ++i) a[i] = pair_of(one(2 * i), one(2 * i + 1));
                const auto b = [&](int i) { return b_value(b_row(lane, i), b_column(lane)); };
                float own[4] = {0.5F, 0.5F, 0.5F, 0.5F};
                ptx::mma_m16n8k16(own, a, pair_of(b(0), b(1)), pair_of(b(2), b(3)));
                std::copy(own, own + 4, d[static_cast<std::size_t>(lane)].begin());
            });
            bool right = true;
            for (int lane = 0; lane < lanes; ++lane)
                for (int i = 0; i < 4; ++i) {
                    const float product =
                        c_row(lane, i) == a_row(owner, element) ? b_value(a_column(owner, element), c_column(lane, i)) : 0.0F;
                    right = right && d[static_cast<std::size_t>(lane)][static_cast<std::size_t>(i)] == 0.5F + product;
                }
            INFO("lane " << owner << ", a" << element);
            CHECK(right);
        }
}

TEST_CASE("every element of a fragment of A and B is where the ISA says, m16n8k8") {
    for (int owner = 0; owner < lanes; ++owner)
        for (int element = 0; element < 4; ++element) {
            std::array<std::array<float, 4>, lanes> d{};
            run_warp([&](int lane) {
                const auto one = [&](int i) { return lane == owner && i == element ? 1.0F : 0.0F; };
                const auto b = [&](int i) { return b_value(b_row(lane, i), b_column(lane)); };
                float own[4] = {};
                ptx::mma_m16n8k8(own, pair_of(one(0), one(1)), pair_of(one(2), one(3)), pair_of(b(0), b(1)));
                std::copy(own, own + 4, d[static_cast<std::size_t>(lane)].begin());
            });
            const int row = element < 2 ? owner >> 2 : (owner >> 2) + 8, column = owner % 4 * 2 + (element & 1);
            bool right = true;
            for (int lane = 0; lane < lanes; ++lane)
                for (int i = 0; i < 4; ++i)
                    right = right && d[static_cast<std::size_t>(lane)][static_cast<std::size_t>(i)] ==
                                         (c_row(lane, i) == row ? b_value(column, c_column(lane, i)) : 0.0F);
            INFO("lane " << owner << ", a" << element);
            CHECK(right);
        }
}

TEST_CASE("sums on the emulated tensor core are cut off, not rounded") {
    // 1 + 2^-23 + 2^-24 of an addend that does not fit below an f32's last bit but one.
    std::array<float, lanes> d{};
    run_warp([&](int lane) {
        const std::uint32_t a[4] = {lane % 4 == 0 ? pair_of(1.5F * 0x1p-23F, 0) : 0U, 0, 0, 0};
        float own[4] = {1.0F, 1.0F, 0, 0};
        ptx::mma_m16n8k16(own, a, lane % 4 == 0 ? pair_of(1.0F, 0) : 0U, 0);
        d[static_cast<std::size_t>(lane)] = own[0];
    });
    for (const float value : d) CHECK(value == 1.0F + 0x1p-23F);
    run_warp([&](int lane) {
        const std::uint32_t a[4] = {lane % 4 == 0 ? pair_of(-0x1p-30F, std::numeric_limits<float>::quiet_NaN()) : 0U, 0, 0, 0};
        float own[4] = {1.0F, 1.0F, 0, 0};
        ptx::mma_m16n8k16(own, a, lane % 4 == 0 ? pair_of(1.0F, 0) : 0U, 0);
        d[static_cast<std::size_t>(lane)] = own[0];
    });
    for (const float value : d) CHECK(std::isnan(value));  // NaN · 0
}

TEST_CASE("ldmatrix gives each lane its pair of a row, or of a column") {
    bool plain = true, transposed = true;
    run_warp([&](int lane) {
        auto* const shared = dynamic_shared<std::uint16_t>();
        // Matrix m, row r at (16 · m + r) rows of 16 bytes: not where the next matrix follows.
        for (int i = lane; i < 4 * 8 * 8; i += lanes)
            shared[(i / 64 * 16 + i / 8 % 8) * 8 + i % 8] = static_cast<std::uint16_t>(i);
        __syncthreads();
        std::uint32_t four[4], two[2];
        ptx::ldmatrix_x4(four, shared + (lane / 8 * 16 + lane % 8) * 8);
        ptx::ldmatrix_x2(two, shared + (lane / 8 % 2 * 16 + lane % 8) * 8);
        for (std::uint32_t m = 0; m < 4; ++m) {
            const auto first = m * 64 + static_cast<std::uint32_t>(lane / 4 * 8 + lane % 4 * 2);
            plain = plain && four[m] == (first | (first + 1) << 16) && (m >= 2 || two[m] == four[m]);
        }
        ptx::ldmatrix_x4_transposed(four, shared + (lane / 8 * 16 + lane % 8) * 8);
        ptx::ldmatrix_x2_transposed(two, shared + (lane / 8 % 2 * 16 + lane % 8) * 8);
        for (std::uint32_t m = 0; m < 4; ++m) {
            const auto first = m * 64 + static_cast<std::uint32_t>(lane % 4 * 2 * 8 + lane / 4);
            transposed = transposed && four[m] == (first | (first + 8) << 16) && (m >= 2 || two[m] == four[m]);
        }
    });
    CHECK(plain);
    CHECK(transposed);
}

TEST_CASE("fragments from shared memory multiply to the plain product") {
    constexpr int stride = tile_stride(24);
    // X [16, 24], Y [16, 24]: X·Yᵀ in steps of 16 and 8, then X[:, 0:16]·Y with rows of Y as rows of B.
    const auto x = [](int row, int column) { return static_cast<float>((5 * row + 3 * column) % 17 - 8); };
    const auto y = [](int row, int column) { return static_cast<float>((7 * row + 2 * column) % 13 - 6); };
    bool products = true, transposed = true;
    run_warp([&](int lane) {
        auto* const left = dynamic_shared<std::uint16_t>();
        std::uint16_t* const right = left + 16 * stride;
        for (int i = lane; i < 16 * 24; i += lanes) {
            left[i / 24 * stride + i % 24] = bf16_of(x(i / 24, i % 24));
            right[i / 24 * stride + i % 24] = bf16_of(y(i / 24, i % 24));
        }
        __syncthreads();
        std::uint32_t a[4], a_half[4], b[4], b_half[2], n8[2];
        load_a(a, left, stride);
        load_a(a_half, left + 8, stride);  // columns 8 … 23: its second half is the last 8
        load_b(b, right, stride);
        load_b_k8(b_half, right + 16, stride);
        load_b_n8(n8, right + 8 * stride, stride);
        float first[4] = {}, second[4] = {};
        ptx::mma_m16n8k16(first, a, b[0], b[1]);
        ptx::mma_m16n8k16(second, a, b[2], b[3]);
        products = products && n8[0] == b[2] && n8[1] == b[3];
        ptx::mma_m16n8k8(first, a_half[2], a_half[3], b_half[0]);
        ptx::mma_m16n8k8(second, a_half[2], a_half[3], b_half[1]);
        for (int i = 0; i < 4; ++i) {
            float expected[2] = {};
            for (int k = 0; k < 24; ++k)
                for (int half = 0; half < 2; ++half) expected[half] += x(c_row(lane, i), k) * y(c_column(lane, i) + 8 * half, k);
            products = products && first[i] == expected[0] && second[i] == expected[1];
        }
        float third[4] = {}, fourth[4] = {};
        load_b_transposed(b, right, stride);
        load_b_n8_transposed(n8, right + 8, stride);
        ptx::mma_m16n8k16(third, a, b[0], b[1]);
        ptx::mma_m16n8k16(fourth, a, b[2], b[3]);
        transposed = transposed && n8[0] == b[2] && n8[1] == b[3];
        for (int i = 0; i < 4; ++i) {
            float expected[2] = {};
            for (int k = 0; k < 16; ++k)
                for (int half = 0; half < 2; ++half) expected[half] += x(c_row(lane, i), k) * y(k, c_column(lane, i) + 8 * half);
            transposed = transposed && third[i] == expected[0] && fourth[i] == expected[1];
        }
    });
    CHECK(products);
    CHECK(transposed);
}

TEST_CASE("rows of a tile lie in different banks") {
    for (int columns = 8; columns <= 512; columns += 8) {
        CHECK(tile_stride(columns) >= columns);
        CHECK(tile_stride(columns) / 8 % 2 == 1);
    }
}

TEST_CASE("cp.async arrives when it is waited for, and not before") {
    alignas(16) static const std::uint16_t global[8 * lanes] = {1, 2, 3};
    bool early = false, right = true;
    run_warp([&](int lane) {
        auto* const shared = dynamic_shared<std::uint16_t>() + 8 * lane;
        auto* const blank = shared + 8 * lanes;
        for (int i = 0; i < 8; ++i) shared[i] = blank[i] = 77;
        ptx::cp_async_16(shared, global + 8 * lane, true);
        ptx::cp_async_commit();
        ptx::cp_async_16(blank, global, false);
        ptx::cp_async_commit();
        early = early || shared[0] == global[8 * lane];
        ptx::cp_async_wait<1>();
        for (int i = 0; i < 8; ++i) right = right && shared[i] == global[8 * lane + i];
        early = early || blank[0] == 0;
        ptx::cp_async_wait<0>();
        for (int i = 0; i < 8; ++i) right = right && blank[i] == 0;
    });
    CHECK_FALSE(early);
    CHECK(right);
}

TEST_CASE("two bf16 in a register") {
    CHECK(ptx::to_bf16x2(1.0F, -2.0F) == 0xC0003F80U);
    CHECK(ptx::to_bf16x2(1.0F + 0x1p-8F, 1.0F + 0x1.8p-7F) == 0x3F823F80U);  // ties go to even
    const std::uint32_t nan = ptx::to_bf16x2(std::numeric_limits<float>::quiet_NaN(), 0.0F);
    CHECK(std::isnan(low_half(nan)));
    CHECK(high_half(nan) == 0.0F);
    CHECK(ptx::exp2_approximate(-std::numeric_limits<float>::infinity()) == 0.0F);
    CHECK(ptx::exp2_approximate(-127.0F) == 0.0F);
    CHECK(std::isnan(ptx::exp2_approximate(std::numeric_limits<float>::quiet_NaN())));
}
