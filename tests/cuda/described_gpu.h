// A GPU that is described and not there, for which cuDNN makes plans all the same.
#pragma once

#include <optional>
#include <string_view>

#include "backend/cuda/cudnn_graph.h"
#include "support/catch.h"

namespace t2i::test {

using cuda::cudnn;
using cuda::Cudnn;
using cuda::Descriptor;

// As cuDNN writes it (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION), from the data sheet of compute capability 9.0.
constexpr std::string_view h100 =
    R"({"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "deviceVer": 900, "driverVer": 13000,
        "cudaDeviceId": 0, "multiProcessorCount": 132, "regsPerBlock": 65536, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
        "l2CacheSize": 52428800, "warpSize": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
        "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "pciDeviceId": 0, "maxCtasPerSM": 32,
        "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "isTccDriver": 0, "supportCoopLaunch": 1,
        "totalGlobalMem": 85000000000, "deviceName": "NVIDIA H100 80GB HBM3"})";

// Nothing where cuDNN is missing, or is one that describes GPUs in another way.
inline std::optional<Descriptor> described_gpu() {
    const Cudnn& dnn = cudnn();
    if (!dnn.about.problem.empty()) {
        WARN("skipped: " << dnn.about.problem);
        return std::nullopt;
    }
    Descriptor gpu(dnn, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    gpu.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(h100.size()), h100.data());
    if (!gpu.finalize()) {
        WARN("skipped: cuDNN " << dnn.about.version << " does not take this description of a GPU");
        return std::nullopt;
    }
    return gpu;
}

}  // namespace t2i::test
