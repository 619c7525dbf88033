// CUDA's status codes as errors of ours: one line for a person, exit code 4.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace t2i::cuda {

// One line: what went wrong and, where it can be known, what to do.
[[nodiscard]] std::string explain(cudaError_t status);

// Throws Error{resource} (OutOfMemory where that is it): "CUDA: <explanation> (<doing>)". `doing` is what was asked for, such as
// "copy to the GPU".
void check(cudaError_t status, const char* doing);

}  // namespace t2i::cuda
