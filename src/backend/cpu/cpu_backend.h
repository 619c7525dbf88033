// The CPU backend: our own SIMD kernels (kernels/cpu) in f32, and in bf16 where the CPU multiplies it.
#pragma once

#include <memory>

#include "ops/backend.h"

namespace t2i {
// threads 0: one per core this process may run on. Results do not depend on the number of threads.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads);
}  // namespace t2i
