// Timings of a benchmark, as a table for people and JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "workloads/bench_ops.h"

namespace t2i::app {

struct BenchRow {
    std::string what;
    std::vector<double> times_ms;  // one per counted run
    double flops = 0;              // per run; 0: not a matter of arithmetic
    double bytes = 0;              // that a run must move; 0: not counted
};

struct BenchReport {
    std::vector<BenchRow> rows;
    std::string machine;
    MachinePeaks peaks;  // measured in the same run; memory 0: not asked for
};

// q-quantile by linear interpolation, q in [0, 1]; `values` is not empty.
[[nodiscard]] double quantile(std::vector<double> values, double q);

// One line a row: median, p10, p90, GFLOP/s and the fraction of the matrix peak; where the memory's peak was measured too,
// GB/s, and the fraction of the bound that the larger of FLOP and bytes sets.
void print_bench(const BenchReport& report);

// {"machine", "version", "peak_gflops", "peak_gb_per_s", "rows": [{"what", "median_ms", "p10_ms", "p90_ms", "times_ms",
// "gflops", "of_peak", "gb_per_s", "bound", "bound_ms", "of_bound"}]}; what does not apply is left out.
[[nodiscard]] std::string bench_json(const BenchReport& report);

// "AMD EPYC, 2 threads" from /proc/cpuinfo and the backend's description.
[[nodiscard]] std::string machine_name(const std::string& backend_description);

}  // namespace t2i::app
