// The shapes at which every operation is tested and timed: those of the models, and awkward ones.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "workloads/prepared_op.h"

namespace t2i {

enum class Purpose : std::uint8_t { test, time, both };

struct OpCase {
    Op op;
    std::string name;  // unique
    Purpose purpose = Purpose::both;
    std::int64_t terms = 1;              // length of the sum behind one output element
    std::int64_t head_size = 0;          // attention only
    bool few_channels = false;           // conv2d: so few that the CPU multiplies in f32 also where all else is bf16
    std::int64_t winograd_channels = 0;  // conv2d: input channels, where fractions may come in between; else 0
    bool curved = false;                 // an activation that is not exact on integers
    double flops = 0;                    // 1 multiply-add = 2
    std::function<void(PreparedOp&)> set_up = {};

    [[nodiscard]] std::unique_ptr<PreparedOp> prepare(Backend& backend, DType dtype, Fill fill) const;
};

// Of one op, smallest first.
[[nodiscard]] std::vector<OpCase> op_cases(Op op);
[[nodiscard]] const std::vector<Op>& all_ops();

}  // namespace t2i
