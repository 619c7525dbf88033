#include "ops/bench_ops.h"

#include <algorithm>
#include <chrono>

#include "ops/ops.h"

namespace t2i {
namespace {

// Sorted times of `runs` calls, after `warm_ups`.
std::vector<double> times_ms(PreparedOp& op, int warm_ups, int runs) {
    std::vector<double> times;
    for (int run = -warm_ups; run < runs; ++run) {
        const auto start = std::chrono::steady_clock::now();
        op.run();
        if (run >= 0)
            times.push_back(
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(times.begin(), times.end());
    return times;
}

double quantile(const std::vector<double>& sorted, double q) {
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace

std::vector<OpTiming> bench_op(Backend& backend, Op op, DType dtype, int runs) {
    std::vector<OpTiming> timings;
    if (!backend.supports(op, dtype)) return timings;
    for (const OpCase& c : op_cases(op)) {
        if (c.purpose == Purpose::test) continue;
        const auto prepared = c.prepare(backend, dtype, Fill::reals);
        const auto times = times_ms(*prepared, 3, runs);
        const double median = quantile(times, 0.5);
        timings.push_back({c.name, median, quantile(times, 0.1), quantile(times, 0.9),
                           c.flops / median * 1e-6, c.bytes / median * 1e-6});
    }
    return timings;
}

double measure_matrix_peak_gflops(Backend& backend, DType dtype) {
    constexpr std::int64_t n = 1024;
    PreparedOp product(backend, dtype, Fill::reals);
    LinearArgs a;
    a.x = product.input({n, n}, dtype);
    a.weight = product.linear_weight(n, n);
    a.out = product.output({n, n}, DType::f32);
    product.set_call([a](const ExecContext& ctx) { ops::linear(ctx, a); });
    return 2.0 * n * n * n / times_ms(product, 2, 8).front() * 1e-6;
}

}  // namespace t2i
