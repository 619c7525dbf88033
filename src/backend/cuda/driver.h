// What this machine has for the module: driver, GPUs, libraries.
#pragma once

#include <string>

#include "backend/cuda_module.h"

namespace t2i::cuda {

// The CUDA that this module was built with, "13.0".
[[nodiscard]] std::string toolkit_version();
// The newest CUDA that the driver knows; empty: there is none.
[[nodiscard]] std::string driver_version();
// What is in this module: "sm_90a, PTX compute_80".
[[nodiscard]] std::string architectures_text();
// Looked up once: neither GPUs nor libraries come and go while a process lives.
[[nodiscard]] const CudaReport& report();

}  // namespace t2i::cuda
