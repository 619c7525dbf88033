#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/ref_kernels.h"

namespace t2i::ref {

void linear(const Linear& a) {
    std::vector<double> row(static_cast<std::size_t>(a.k));
    for (std::int64_t m = 0; m < a.m; ++m) {
        for (std::int64_t k = 0; k < a.k; ++k) row[static_cast<std::size_t>(k)] = a.x[m * a.k + k];
        for (std::int64_t n = 0; n < a.n; ++n) {
            double sum = 0;
            for (std::int64_t k = 0; k < a.k; ++k) sum += row[static_cast<std::size_t>(k)] * a.weight[n * a.k + k];
            if (a.bias) sum += a.bias[n];
            double value = apply(a.function, sum);
            if (a.gate) value *= a.gate[m / (a.m / a.gate_rows) * a.n + n];
            if (a.residual) value += a.residual[m % a.residual_rows * a.n + n];
            a.out.set(m * a.n + n, value);
        }
    }
}

void attention(const Attention& a) {
    std::vector<double> p(static_cast<std::size_t>(a.keys));
    std::vector<double> sum(static_cast<std::size_t>(a.head_size));
    const auto at = [](const Rows& r, std::int64_t row, std::int64_t column) {
        return r.data[row * r.stride + r.begin + column];
    };
    for (std::int64_t b = 0; b < a.batch; ++b)
        for (std::int64_t h = 0; h < a.heads; ++h)
            for (std::int64_t i = 0; i < a.queries; ++i) {
                const std::int64_t length = a.lengths ? a.lengths[b] : a.keys;
                const std::int64_t row = b * a.queries + i, column = h * a.head_size;
                double maximum = -INFINITY, total = 0;
                for (std::int64_t j = 0; j < length; ++j) {
                    double score = 0;
                    for (std::int64_t d = 0; d < a.head_size; ++d)
                        score += at(a.q, row, column + d) * at(a.k, b * a.keys + j, column + d);
                    score *= a.scale;
                    if (a.bias) score += a.bias[(h * a.queries + i) * a.keys + j];
                    p[static_cast<std::size_t>(j)] = score;
                    maximum = std::max(maximum, score);
                }
                std::fill(sum.begin(), sum.end(), 0.0);
                for (std::int64_t j = 0; j < length; ++j) {
                    const double weight = std::exp(p[static_cast<std::size_t>(j)] - maximum);
                    total += weight;
                    for (std::int64_t d = 0; d < a.head_size; ++d)
                        sum[static_cast<std::size_t>(d)] += weight * at(a.v, b * a.keys + j, column + d);
                }
                for (std::int64_t d = 0; d < a.head_size; ++d)
                    a.out.set(row * a.heads * a.head_size + column + d, sum[static_cast<std::size_t>(d)] / total);
            }
}

}  // namespace t2i::ref
