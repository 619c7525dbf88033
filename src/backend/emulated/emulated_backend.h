// The GPU's kernels on the host: what the CUDA backend queues, kernels/emulation runs at once, thread by thread. Matrix products
// and convolutions, which a library makes on a GPU, are kernels/ref's. Slow; for tests, and to look into a kernel with a
// debugger.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ops/backend.h"

namespace t2i {

// "emulated": threads and blocks in order; "emulated:reverse"; "emulated:N": shuffled, seeded by N. A kernel that lacks a barrier
// gives different results in different orders.  Throws Error{invalid_argument} for another name
//
// Memory is of Device::cuda, so that what takes it for the host's fails; it starts as NaN, and writes past its ends are found
// after each kernel (Error{resource} never hides them: they are emulation::Fault).
//
// record() captures as a CUDA graph does and enforces the rules of Backend::record, each plan for exactly its weight, bias and
// shapes: what passes here can be recorded on a GPU.
[[nodiscard]] std::unique_ptr<Backend> make_emulated_backend(std::string_view name);

// "12 kernels, 3456 launches, 78901 blocks": what this process has emulated.
[[nodiscard]] std::string emulation_summary();

}  // namespace t2i
