// Timings of a benchmark, as a table for people and JSON for programs.
#pragma once

#include <string>
#include <vector>

namespace t2i::app {

struct BenchRow {
    std::string what;
    std::vector<double> times_ms;  // one per counted run
    double flops = 0;              // per run; 0: not a matter of arithmetic
};

// q-quantile by linear interpolation, q in [0, 1]; `values` is not empty.
[[nodiscard]] double quantile(std::vector<double> values, double q);

// One line a row: median, p10, p90, GFLOP/s, fraction of `peak_gflops` (measured in the same run).
void print_bench(const std::vector<BenchRow>& rows, const std::string& machine, double peak_gflops);

// {"machine", "peak_gflops", "version", "rows": [{"what", "median_ms", "p10_ms", "p90_ms", "gflops", "of_peak", "times_ms"}]}
[[nodiscard]] std::string bench_json(const std::vector<BenchRow>& rows, const std::string& machine, double peak_gflops);

// "AMD EPYC, 2 threads" from /proc/cpuinfo and the backend's description.
[[nodiscard]] std::string machine_name(const std::string& backend_description);

}  // namespace t2i::app
