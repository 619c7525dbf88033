#include "backend/cuda/status.h"

#include "backend/cuda/driver.h"
#include "core/out_of_memory.h"
#include "kernels/cuda/cuda_kernels.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

std::string old_driver() {
    const std::string known = driver_version();
    if (known.empty()) return "no NVIDIA driver on this machine (libcuda.so.1 was not found)";
    return "the NVIDIA driver knows CUDA up to " + known + ", this program was built with CUDA " + toolkit_version() +
           "; a newer driver is needed";
}

std::string wrong_code() {
    int device = 0, major = 0, minor = 0;
    std::string needs = "this GPU";
    if (cudaGetDevice(&device) == cudaSuccess &&
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess)
        needs = "sm_" + std::to_string(10 * major + minor);
    return "the GPU needs code for " + needs + ", this program holds " + architectures_text();
}

}  // namespace

std::string explain(cudaError_t status) {
    switch (status) {
        case cudaErrorInsufficientDriver:
        case cudaErrorSystemDriverMismatch:
        case cudaErrorStubLibrary:
            return old_driver();
        case cudaErrorNoDevice:
            return "the driver finds no NVIDIA GPU (CUDA_VISIBLE_DEVICES can hide one)";
        case cudaErrorInvalidDevice:
            return "no such GPU";
        case cudaErrorDevicesUnavailable:
            return "the GPU is taken by another process or switched off for computing";
        case cudaErrorNoKernelImageForDevice:
            return wrong_code();
        case cudaErrorUnsupportedPtxVersion:
        case cudaErrorJitCompilerNotFound:
            return "the driver cannot compile this program's PTX (" + std::string(cudaGetErrorString(status)) + "); " +
                   wrong_code();
        case cudaErrorMemoryAllocation:
            return "out of memory on the GPU";
        case cudaErrorECCUncorrectable:
        case cudaErrorDeviceUninitialized:
        case cudaErrorHardwareStackError:
        case cudaErrorContained:
        case cudaErrorUnknown:
            return "the GPU was lost: " + std::string(cudaGetErrorString(status));
        case cudaErrorIllegalAddress:
        case cudaErrorMisalignedAddress:
        case cudaErrorIllegalInstruction:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
            return "work on the GPU failed and the process cannot go on with it: " + std::string(cudaGetErrorString(status));
        default:
            return cudaGetErrorString(status);
    }
}

void check(cudaError_t status, const char* doing) {
    if (status == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());  // else a later, unrelated call reports it again
    const std::string line = "CUDA: " + explain(status) + " (" + doing + ")";
    if (status == cudaErrorMemoryAllocation) throw OutOfMemory(line);
    throw Error(ErrorCode::resource, line);
}

// Of kernels/cuda/cuda_kernels.h.
void check_launch(cudaError_t status, const char* launcher) {
    check(status, launcher);
}

}  // namespace t2i::cuda
