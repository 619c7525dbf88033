#include "workloads/bench_ops.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "ops/ops.h"
#include "t2i/error.h"

namespace t2i {
namespace {

constexpr int warm_ups = 3;

double time_ms(Backend& backend, Recording& recording) {
    const auto start = std::chrono::steady_clock::now();
    recording.replay();
    backend.wait(backend.fence());
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::unique_ptr<Recording> many_calls(Backend& backend, PreparedOp& op, int calls) {
    return backend.record([&op, calls] {
        for (int i = 0; i < calls; ++i) op.run();
    });
}

// Times of one call.
std::vector<double> times_ms(Backend& backend, PreparedOp& op, int runs) {
    for (int i = 0; i < warm_ups; ++i) op.run();  // also the plan of a recording, which takes its memory
    backend.wait(backend.fence());
    constexpr double enough_ms = 1.0;  // a launch and a wait take some hundredths
    constexpr int most_calls = 1024;
    int calls = 1;
    auto work = many_calls(backend, op, calls);
    if (backend.device() != Device::host) {
        time_ms(backend, *work);
        while (calls < most_calls && time_ms(backend, *work) < enough_ms) {
            calls *= 2;
            work = many_calls(backend, op, calls);
            time_ms(backend, *work);
        }
    }
    std::vector<double> times;
    times.reserve(static_cast<std::size_t>(runs));
    for (int run = 0; run < runs; ++run) times.push_back(time_ms(backend, *work) / calls);
    return times;
}

double best_ms(Backend& backend, PreparedOp& op) {
    const auto times = times_ms(backend, op, 8);
    return *std::min_element(times.begin(), times.end());
}

}  // namespace

Op op_by_name(const std::string& name) {
    std::string names;
    for (const Op op : all_ops()) {
        if (name_of(op) == name) return op;
        names += (names.empty() ? "" : ", ") + std::string(name_of(op));
    }
    throw Error(ErrorCode::invalid_argument, "no such operation \"" + name + "\" (all, " + names + ")", Field{"op"});
}

std::vector<OpTiming> bench_op(Backend& backend, Op op, DType dtype, int runs) {
    std::vector<OpTiming> timings;
    if (!backend.supports(op, dtype)) return timings;
    for (const OpCase& c : op_cases(op)) {
        if (c.purpose == Purpose::test) continue;
        const auto prepared = c.prepare(backend, dtype, Fill::reals);
        timings.push_back({c.name, times_ms(backend, *prepared, runs), c.flops, static_cast<double>(prepared->traffic_bytes())});
    }
    return timings;
}

double measure_matrix_peak_gflops(Backend& backend, DType dtype) {
    // A small product does not fill a large machine: they grow until one takes a while.
    constexpr std::int64_t largest = 8192;
    constexpr double enough_ms = 1.0;
    double peak = 0;
    for (std::int64_t n = 1024; n <= largest; n *= 2) {
        PreparedOp product(backend, dtype, Fill::reals);
        LinearArgs a;
        a.x = product.input({n, n}, dtype);
        a.weight = product.linear_weight(n, n);
        a.out = product.output({n, n}, dtype);
        product.set_call([a](const ExecContext& ctx) { ops::linear(ctx, a); });
        const double ms = best_ms(backend, product), side = static_cast<double>(n);
        peak = std::max(peak, 2.0 * side * side * side / ms * 1e-6);
        if (ms >= enough_ms) break;
    }
    return peak;
}

double measure_memory_peak_gb_per_s(Backend& backend) {
    // 128 MiB of traffic are more than most caches hold; where that takes no time, 512 MiB.
    constexpr std::int64_t small = std::int64_t{1} << 24, large = std::int64_t{1} << 26;
    constexpr double enough_ms = 0.2;
    double peak = 0;
    for (const std::int64_t elements : {small, large}) {
        PreparedOp copy(backend, DType::f32, Fill::reals);
        const TensorView x = copy.input({elements}, DType::f32), out = copy.output({elements}, DType::f32);
        copy.set_call([=](const ExecContext& ctx) { ops::unary(ctx, Unary::relu, x, out); });
        const double ms = best_ms(backend, copy);
        peak = static_cast<double>(copy.traffic_bytes()) / ms * 1e-6;  // the larger one's, where there is one: no cache in it
        if (ms >= enough_ms) break;
    }
    return peak;
}

MachinePeaks measure_peaks(Backend& backend, DType dtype) {
    return {measure_matrix_peak_gflops(backend, dtype), measure_memory_peak_gb_per_s(backend)};
}

Bound bound_of(double flops, double bytes, const MachinePeaks& peaks) {
    const double by_flops = flops / peaks.matrix_gflops * 1e-6, by_bytes = bytes / peaks.memory_gb_per_s * 1e-6;
    return {std::max(by_flops, by_bytes), by_flops > by_bytes};
}

}  // namespace t2i
