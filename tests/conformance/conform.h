// The one body of the conformance suite: a backend against the reference at one case.
#pragma once

#include <string>

#include "workloads/op_cases.h"

namespace t2i::test {

// Every case of `op` on every backend of this binary but the reference, in each dtype that it supports. Less with
// T2I_CASE (a case's name), T2I_BACKEND (a backend's) and T2I_CASE_BYTES (what a case moves at most) in the environment.
void check_op(Op op);

}  // namespace t2i::test
