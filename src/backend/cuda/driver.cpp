#include "backend/cuda/driver.h"

#include <cuda_runtime_api.h>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cudnn.h"
#include "backend/cuda/status.h"
#include "backend/cuda_support/architectures.h"

namespace t2i::cuda {

namespace {

// CUDA writes 13.1 as 13010.
std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

const std::vector<GpuCode>& codes() {
    static const std::vector<GpuCode> list = parse_gpu_code(T2I_CUDA_ARCHITECTURES);
    return list;
}

CudaDevice describe(int index) {
    CudaDevice device{.index = index, .name = {}, .code = {}};
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "look at the GPU");
    device.name = properties.name;
    device.major = properties.major;
    device.minor = properties.minor;
    device.memory_bytes = properties.totalGlobalMem;
    if (const GpuCode* code = code_for(codes(), properties.major, properties.minor)) device.code = name_of(*code);
    return device;
}

CudaReport look() {
    CudaReport r;
    r.toolkit = toolkit_version();
    r.driver = driver_version();
    r.architectures = architectures_text();
    r.cublaslt = cublaslt().about;
    r.cudnn = cudnn().about;
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        r.problem = explain(status);
        return r;
    }
    bool any_runs = false;
    for (int i = 0; i < count; ++i) {
        r.devices.push_back(describe(i));
        any_runs = any_runs || !r.devices.back().code.empty();
    }
    if (count == 0) r.problem = explain(cudaErrorNoDevice);
    else if (!any_runs)
        r.problem = "no GPU here runs this program's code: it holds " + r.architectures + ", " + r.devices.front().name +
                    " needs sm_" + std::to_string(10 * r.devices.front().major + r.devices.front().minor);
    else r.problem = r.cublaslt.problem;
    return r;
}

}  // namespace

std::string toolkit_version() {
    return version_text(CUDART_VERSION);
}

std::string driver_version() {
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return {};
    return version_text(version);
}

std::string architectures_text() {
    return names_of(codes());
}

const CudaReport& report() {
    static const CudaReport found = look();
    return found;
}

}  // namespace t2i::cuda
