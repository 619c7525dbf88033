// What a benchmark compares with: traffic and bounds.
#include "backend/registry.h"
#include "support/catch.h"
#include "unit/expect_error.h"
#include "workloads/bench_ops.h"

namespace t2i::test {
namespace {

std::int64_t traffic(Op op, const std::string& name, DType dtype) {
    const auto backend = make_backend("ref");
    for (const OpCase& c : op_cases(op))
        if (c.name == name) return c.prepare(*backend, dtype, Fill::reals)->traffic_bytes();
    FAIL("no case " << name);
    return 0;
}

TEST_CASE("bench: the bound is the slower of arithmetic and memory") {
    const MachinePeaks peaks{.matrix_gflops = 1000, .memory_gb_per_s = 100};
    const Bound product = bound_of(2e9, 1e6, peaks);
    CHECK(product.by_flops);
    CHECK(product.ms == Approx(2.0));
    const Bound norm = bound_of(0, 3e8, peaks);
    CHECK_FALSE(norm.by_flops);
    CHECK(norm.ms == Approx(3.0));
}

TEST_CASE("bench: an operation moves its inputs and outputs once, in their dtypes") {
    // x and out; shift and scale of two groups
    CHECK(traffic(Op::norm_modulate, "norm_modulate 512x1152 groups 2 narrow", DType::f32) == 512 * 1152 * 8 + 2 * 2 * 1152 * 4);
    CHECK(traffic(Op::norm_modulate, "norm_modulate 512x1152 groups 2 narrow", DType::bf16) == 512 * 1152 * 6 + 2 * 2 * 1152 * 4);
    // the layer's output, the stream in and out, what the next layer reads; one gate, shift and scale
    CHECK(traffic(Op::residual_norm, "residual_norm 512x1152 gates 1 groups 1", DType::bf16) == 512 * 1152 * 12 + 3 * 1152 * 4);
    // 120 rows of the table, not its 1000
    CHECK(traffic(Op::gather, "gather 1000x384x120", DType::f32) == 120 * 384 * 8);
}

TEST_CASE("bench: peaks and times are positive, and unknown names are listed") {
    const auto backend = make_backend("cpu", {.threads = 1});
    const auto timings = bench_op(*backend, Op::rms_norm, DType::f32, 2);
    REQUIRE_FALSE(timings.empty());
    for (const auto& timing : timings) {
        REQUIRE(timing.times_ms.size() == 2);
        for (const double ms : timing.times_ms) CHECK(ms > 0);
        CHECK(timing.bytes > 0);
    }
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { static_cast<void>(op_by_name("convolve")); }), "conv2d"));
}

}  // namespace
}  // namespace t2i::test
