// Timing of single operations, for `t2i bench`.
#pragma once

#include <string>
#include <vector>

#include "ops/op_cases.h"

namespace t2i {

struct OpTiming {
    std::string name;
    std::vector<double> times_ms;  // one per timed call
    double flops;                  // of one call; 0 where the op is not a product
    double bytes;                  // that must move in one call, in f32
};

// Throws Error{usage} listing the names when there is no such op.
[[nodiscard]] Op op_by_name(const std::string& name);

// The op at every shape of op_cases that is meant for timing: 3 warm-ups, `runs` timed calls each. Empty when
// the backend does not support the op in this dtype.
[[nodiscard]] std::vector<OpTiming> bench_op(Backend& backend, Op op, DType dtype, int runs = 10);

// What the machine multiplies at best, in GFLOP/s: the largest over a few runs of one product of 1024 x 1024
// x 1024.
[[nodiscard]] double measure_matrix_peak_gflops(Backend& backend, DType dtype);

}  // namespace t2i
