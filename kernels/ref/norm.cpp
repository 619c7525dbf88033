#include <cmath>

#include "kernels/ref/ref_kernels.h"

namespace t2i::ref {

void norm_modulate(In x, In shift, In scale, std::int64_t m, std::int64_t c, std::int64_t groups, float eps, Out out) {
    for (std::int64_t row = 0; row < m; ++row) {
        double mean = 0, variance = 0;
        for (std::int64_t i = 0; i < c; ++i) mean += x[row * c + i];
        mean /= static_cast<double>(c);
        for (std::int64_t i = 0; i < c; ++i) variance += (x[row * c + i] - mean) * (x[row * c + i] - mean);
        const double inverse = 1.0 / std::sqrt(variance / static_cast<double>(c) + eps);
        const std::int64_t group = row / (m / groups) * c;
        for (std::int64_t i = 0; i < c; ++i)
            out.set(row * c + i, (x[row * c + i] - mean) * inverse * (1.0 + scale[group + i]) + shift[group + i]);
    }
}

void residual_norm(const ResidualNorm& a) {
    for (std::int64_t row = 0; row < a.m; ++row)
        for (std::int64_t i = 0; i < a.c; ++i) {
            const double gate = a.gate ? a.gate[row / (a.m / a.gate_rows) * a.c + i] : 1.0;
            float& x = a.stream[row * a.c + i];
            x = static_cast<float>(static_cast<double>(x) + gate * a.y[row * a.c + i]);
        }
    const In stream{a.stream};
    if (a.shift) norm_modulate(stream, a.shift, a.scale, a.m, a.c, a.groups, a.eps, a.out);
    else cast(stream, a.m * a.c, a.out);
}

void rms_norm(In x, In weight, std::int64_t m, std::int64_t c, float eps, Out out) {
    for (std::int64_t row = 0; row < m; ++row) {
        double squares = 0;
        for (std::int64_t i = 0; i < c; ++i) squares += x[row * c + i] * x[row * c + i];
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(c) + eps);
        for (std::int64_t i = 0; i < c; ++i) out.set(row * c + i, x[row * c + i] * inverse * weight[i]);
    }
}

void group_norm(In x, In weight, In bias, std::int64_t batch, std::int64_t pixels, std::int64_t channels, std::int64_t groups,
                float eps, Function f, Out out) {
    const std::int64_t width = channels / groups;
    const auto count = static_cast<double>(width * pixels);
    for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t g = 0; g < groups; ++g) {
            const auto each = [&](auto&& visit) {
                for (std::int64_t p = 0; p < pixels; ++p)
                    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) visit((b * pixels + p) * channels + c, c);
            };
            double mean = 0, variance = 0;
            each([&](std::int64_t i, std::int64_t) { mean += x[i]; });
            mean /= count;
            each([&](std::int64_t i, std::int64_t) { variance += (x[i] - mean) * (x[i] - mean); });
            const double inverse = 1.0 / std::sqrt(variance / count + eps);
            each([&](std::int64_t i, std::int64_t c) { out.set(i, apply(f, (x[i] - mean) * inverse * weight[c] + bias[c])); });
        }
}

}  // namespace t2i::ref
