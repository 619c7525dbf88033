// The products that are tested and timed (workloads/op_cases.h).
#pragma once

#include "workloads/op_cases.h"

namespace t2i {

[[nodiscard]] std::vector<OpCase> linear_cases();

}  // namespace t2i
