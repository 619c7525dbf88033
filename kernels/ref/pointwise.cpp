#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/ref/ref_kernels.h"

namespace t2i::ref {

double apply(Function f, double x) {
    switch (f) {
        case Function::identity:
            return x;
        case Function::relu:
            return std::max(x, 0.0);
        case Function::silu:
            return x / (1.0 + std::exp(-x));
        case Function::gelu_tanh: {
            const double inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
            return 0.5 * x * (1.0 + std::tanh(inner));
        }
        case Function::soft_clamp3:
            return 3.0 * std::tanh(x / 3.0);
        case Function::exp:
            return std::exp(x);
    }
    return x;
}

void unary(Function f, In x, std::int64_t count, Out out) {
    for (std::int64_t i = 0; i < count; ++i) out.set(i, apply(f, x[i]));
}

void gated_gelu(In x, std::int64_t m, std::int64_t f, Out out) {
    for (std::int64_t row = 0; row < m; ++row)
        for (std::int64_t i = 0; i < f; ++i)
            out.set(row * f + i, apply(Function::gelu_tanh, x[row * 2 * f + i]) * x[row * 2 * f + f + i]);
}

void lincomb(const double* coefficients, const In* x, std::int64_t terms, std::int64_t count, Out out) {
    for (std::int64_t i = 0; i < count; ++i) {
        double sum = 0;
        for (std::int64_t t = 0; t < terms; ++t) sum += coefficients[t] * x[t][i];
        out.set(i, sum);
    }
}

void gather(In table, const std::int32_t* ids, std::int64_t n, std::int64_t c, Out out) {
    for (std::int64_t row = 0; row < n; ++row)
        for (std::int64_t i = 0; i < c; ++i) out.set(row * c + i, table[ids[row] * c + i]);
}

void timestep_embed(const float* timesteps, std::int64_t n, std::int64_t c, float shift, Out out) {
    const std::int64_t half = c / 2;
    for (std::int64_t k = 0; k < half; ++k) {
        const double exponent = -std::log(1e4) * static_cast<double>(k) / (static_cast<double>(half) - shift);
        const auto frequency = static_cast<float>(std::exp(exponent));
        for (std::int64_t row = 0; row < n; ++row) {
            const float angle = timesteps[row] * frequency;
            out.set(row * c + k, std::cos(static_cast<double>(angle)));
            out.set(row * c + half + k, std::sin(static_cast<double>(angle)));
        }
    }
}

void cast(In x, std::int64_t count, Out out) {
    for (std::int64_t i = 0; i < count; ++i) out.set(i, x[i]);
}

}  // namespace t2i::ref
