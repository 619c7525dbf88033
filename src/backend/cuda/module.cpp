// What libt2i_cuda.so exports.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/driver.h"

extern "C" __attribute__((visibility("default"))) const t2i::CudaModule* t2i_cuda_module() {
    static const std::string abi(t2i::cuda_module_abi());
    static const t2i::CudaModule module{
        .bytes = sizeof(t2i::CudaModule),
        .abi = abi.c_str(),
        .make = [](const t2i::CudaOptions& options) -> std::unique_ptr<t2i::Backend> {
            return std::make_unique<t2i::cuda::CudaBackend>(options);
        },
        .report = [] { return t2i::cuda::report(); },
    };
    return &module;
}
