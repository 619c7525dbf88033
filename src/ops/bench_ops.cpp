#include "ops/bench_ops.h"

#include <algorithm>
#include <chrono>

#include "ops/ops.h"
#include "t2i/error.h"

namespace t2i {
namespace {

// Times of `runs` calls, after `warm_ups`.
std::vector<double> times_ms(PreparedOp& op, int warm_ups, int runs) {
    std::vector<double> times;
    for (int run = -warm_ups; run < runs; ++run) {
        const auto start = std::chrono::steady_clock::now();
        op.run();
        if (run >= 0)
            times.push_back(
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return times;
}

}  // namespace

Op op_by_name(const std::string& name) {
    std::string names;
    for (const Op op : all_ops()) {
        if (name_of(op) == name) return op;
        names += (names.empty() ? "" : ", ") + std::string(name_of(op));
    }
    throw Error(ErrorCode::usage, "no such operation \"" + name + "\" (" + names + ")", "--op");
}

std::vector<OpTiming> bench_op(Backend& backend, Op op, DType dtype, int runs) {
    std::vector<OpTiming> timings;
    if (!backend.supports(op, dtype)) return timings;
    for (const OpCase& c : op_cases(op)) {
        if (c.purpose == Purpose::test) continue;
        const auto prepared = c.prepare(backend, dtype, Fill::reals);
        timings.push_back({c.name, times_ms(*prepared, 3, runs), c.flops, c.bytes});
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
    const auto times = times_ms(product, 2, 8);
    return 2.0 * n * n * n / *std::min_element(times.begin(), times.end()) * 1e-6;
}

}  // namespace t2i
