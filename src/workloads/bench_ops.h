// Timing of single operations and of what the machine does at best, for `t2i bench`.
#pragma once

#include <string>
#include <vector>

#include "workloads/op_cases.h"

namespace t2i {

struct OpTiming {
    std::string name;
    std::vector<double> times_ms;  // of one call, one per measurement
    double flops;                  // of one call; 0 where the op is not a product
    double bytes;                  // that one call must move, see PreparedOp::traffic_bytes
};

// Throws Error{invalid_argument} listing the names when there is no such op.
[[nodiscard]] Op op_by_name(const std::string& name);

// The op at every shape of op_cases that is meant for timing: 3 warm-ups, `runs` measurements each. Empty when the backend
// does not support the op in this dtype. On a backend with a queue a measurement is of so many calls in a row that
// neither the launches nor the wait for them count; what fits into the cache then comes from there.
[[nodiscard]] std::vector<OpTiming> bench_op(Backend& backend, Op op, DType dtype, int runs = 10);

// The best that the backend did in a few tries, on made-up numbers.
struct MachinePeaks {
    double matrix_gflops = 0;    // one product n x n x n
    double memory_gb_per_s = 0;  // 10^9 bytes a second read and written by an operation that does nothing else
};
[[nodiscard]] double measure_matrix_peak_gflops(Backend& backend, DType dtype);
[[nodiscard]] double measure_memory_peak_gb_per_s(Backend& backend);
[[nodiscard]] MachinePeaks measure_peaks(Backend& backend, DType dtype);

// The least time that work can take on such a machine, milliseconds, and what sets it (the roofline model: Williams,
// Waterman and Patterson 2009).
struct Bound {
    double ms = 0;
    bool by_flops = false;  // else by bytes
};
[[nodiscard]] Bound bound_of(double flops, double bytes, const MachinePeaks& peaks);

}  // namespace t2i
