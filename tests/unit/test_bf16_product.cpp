// kernels/cpu/bf16_product.cpp: both of its kernels against sums in double, where the CPU has them.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/tensor.h"
#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {
namespace {

std::uint16_t bf16(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<std::uint16_t>(bits >> 16);
}
double value(std::uint16_t half) {
    const std::uint32_t bits = std::uint32_t{half} << 16;
    float f = 0;
    std::memcpy(&f, &bits, sizeof f);
    return f;
}

std::int64_t padded(std::int64_t n) {
    return (n + bf16_panel - 1) / bf16_panel * bf16_panel;
}

// A matrix of bf16 with rows `stride` apart; what lies between and behind the rows is NaN unless it is to be read.
struct Matrix {
    std::int64_t rows, columns, stride;
    std::vector<std::uint16_t> data;

    Matrix(std::int64_t r, std::int64_t c, std::int64_t s, std::uint16_t beyond, std::mt19937& rng)
        : rows(r), columns(c), stride(s), data(static_cast<std::size_t>(r * s), beyond) {
        std::uniform_real_distribution<float> numbers(-1, 1);
        for (std::int64_t i = 0; i < r; ++i)
            for (std::int64_t k = 0; k < c; ++k) data[static_cast<std::size_t>(i * s + k)] = bf16(numbers(rng));
    }
    [[nodiscard]] double at(std::int64_t row, std::int64_t column) const {
        return value(data[static_cast<std::size_t>(row * stride + column)]);
    }
};

constexpr std::uint16_t nan_bits = 0x7fc0;

std::vector<Bf16Kernel> kernels() {
    switch (bf16_kernel()) {
        case Bf16Kernel::none:
            WARN("this CPU does not multiply bf16: nothing to test");
            return {};
        case Bf16Kernel::avx512:
            return {Bf16Kernel::avx512};
        case Bf16Kernel::amx:
            break;
    }
    return {Bf16Kernel::avx512, Bf16Kernel::amx};
}

}  // namespace

TEST_CASE("bf16 products agree with sums in double, whatever their shape") {
    std::mt19937 rng(1);
    for (const Bf16Kernel kernel : kernels())
        for (const std::int64_t k : {1, 31, 32, 33, 96, 417, 2400})
            for (const std::int64_t n : {1, 16, 17, 32, 70})
                for (const std::int64_t rows : {1, 2, 11, 12, 13, 16, 17, 31, 32, 33, 64, 75}) {
                    if (k > 417 && (n > 17 || rows > 33)) continue;
                    CAPTURE(static_cast<int>(kernel), k, n, rows);
                    const std::int64_t k_padded = padded(k), n_padded = padded(n);
                    const Matrix x(rows, k, k_padded, 0, rng), w(n, k, k + 5, nan_bits, rng);
                    Buffer panels = Buffer::host(static_cast<std::size_t>(n_padded * k_padded) * sizeof(std::uint16_t));
                    auto* packed = static_cast<std::uint16_t*>(panels.data());
                    pack_bf16(w.data.data(), n, k, w.stride, packed);
                    Buffer sums_buffer = Buffer::host(static_cast<std::size_t>((rows + 1) * n_padded) * sizeof(float));
                    auto* sums = static_cast<float*>(sums_buffer.data());
                    std::fill_n(sums, (rows + 1) * n_padded, -7.0F);
                    int calls = 0;
                    multiply_bf16(kernel,
                                  {.x = x.data.data(),
                                   .more = nullptr,
                                   .stride = k_padded,
                                   .rows = rows,
                                   .steps = k_padded / bf16_step,
                                   .panel = packed,
                                   .panels = n_padded / bf16_panel,
                                   .panel_stride = bf16_panel * k_padded,
                                   .sums_stride = n_padded,
                                   .overlapped = [](void* count) { ++*static_cast<int*>(count); },
                                   .context = &calls},
                                  sums);
                    double worst = 0;
                    for (std::int64_t i = 0; i < rows; ++i)
                        for (std::int64_t j = 0; j < n_padded; ++j) {
                            double expected = 0, magnitude = 1e-30;
                            for (std::int64_t c = 0; j < n && c < k; ++c) {
                                expected += x.at(i, c) * w.at(j, c);
                                magnitude += std::fabs(x.at(i, c) * w.at(j, c));
                            }
                            // As for every product (tests/conformance/tolerance.h): 4·√K + 8 roundings of Σ|xw|.
                            const double allowed = (4 * std::sqrt(static_cast<double>(k)) + 8) * 0x1p-24 * magnitude;
                            worst = std::fmax(worst, std::fabs(static_cast<double>(sums[i * n_padded + j]) - expected) / allowed);
                        }
                    CHECK(worst <= 1);
                    CHECK(sums[rows * n_padded] == -7.0F);
                    CHECK(calls >= k_padded / bf16_step * (n_padded / bf16_panel) * ((rows + 31) / 32));
                }
}

TEST_CASE("a bf16 product of a sum of two matrices, and of fewer steps than are packed") {
    std::mt19937 rng(2);
    for (const Bf16Kernel kernel : kernels()) {
        constexpr std::int64_t rows = 20, k = 96, n = 40, used = 64;
        const Matrix x(rows, k, k, 0, rng), more(rows, k, k, 0, rng), w(n, k, k, 0, rng);
        Buffer panels = Buffer::host(static_cast<std::size_t>(padded(n) * k) * sizeof(std::uint16_t));
        auto* packed = static_cast<std::uint16_t*>(panels.data());
        pack_bf16(w.data.data(), n, k, k, packed);
        std::vector<float> sums(static_cast<std::size_t>(rows * padded(n)));
        multiply_bf16(kernel,
                      {.x = x.data.data(),
                       .more = more.data.data(),
                       .stride = k,
                       .rows = rows,
                       .steps = used / bf16_step,
                       .panel = packed,
                       .panels = 2,
                       .panel_stride = bf16_panel * k,
                       .sums_stride = padded(n),
                       .overlapped = nullptr,
                       .context = nullptr},
                      sums.data());
        for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                double expected = 0;
                for (std::int64_t c = 0; c < used; ++c) expected += (x.at(i, c) + more.at(i, c)) * w.at(j, c);
                CHECK(static_cast<double>(sums[static_cast<std::size_t>(i * padded(n) + j)]) == Approx(expected).margin(1e-4));
            }
    }
}

TEST_CASE("a bf16 matrix packed by columns is its transpose packed by rows") {
    if (bf16_kernel() == Bf16Kernel::none) return;
    std::mt19937 rng(3);
    for (const std::int64_t k : {1, 2, 31, 32, 45, 64})
        for (const std::int64_t n : {1, 15, 16, 32, 72}) {
            CAPTURE(k, n);
            const Matrix w(k, n, n + 3, nan_bits, rng);
            std::vector<std::uint16_t> turned(static_cast<std::size_t>(n * k));
            for (std::int64_t i = 0; i < k; ++i)
                for (std::int64_t j = 0; j < n; ++j)
                    turned[static_cast<std::size_t>(j * k + i)] = w.data[static_cast<std::size_t>(i * w.stride + j)];
            const auto size = static_cast<std::size_t>(padded(n) * padded(k));
            std::vector<std::uint16_t> by_columns(size, nan_bits), by_rows(size, nan_bits);
            pack_bf16_columns(w.data.data(), k, n, w.stride, by_columns.data());
            pack_bf16(turned.data(), n, k, k, by_rows.data());
            CHECK(by_columns == by_rows);
        }
}

}  // namespace t2i::cpu
