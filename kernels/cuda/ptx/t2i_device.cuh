// What kernels need of a GPU beyond CUDA's own names: shared memory, wide accesses, a launch. The twin for emulated builds is
// kernels/emulation/include/t2i_device.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>
#include <utility>

namespace t2i::cuda {

// The block's dynamic shared memory, aligned to 128 bytes.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
    extern __shared__ __align__(128) unsigned char t2i_dynamic_shared[];
    return reinterpret_cast<T*>(t2i_dynamic_shared);
}

// One T in the block's shared memory, uninitialised. A second call with the same type in a kernel is the same T.
template <typename T>
__device__ __forceinline__ T& static_shared() {
    __shared__ T value;
    return value;
}

// 16 or 8 bytes at once; `p` must be aligned to as many.
__device__ __forceinline__ uint4 load_16(const void* p) {
    return *static_cast<const uint4*>(p);
}
__device__ __forceinline__ uint2 load_8(const void* p) {
    return *static_cast<const uint2*>(p);
}
__device__ __forceinline__ void store_16(void* p, uint4 value) {
    *static_cast<uint4*>(p) = value;
}
__device__ __forceinline__ void store_8(void* p, uint2 value) {
    *static_cast<uint2*>(p) = value;
}

template <typename... P>
cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream, const char*,
                          std::tuple<P...>& arguments) {
    constexpr std::size_t without_asking = 48 * 1024;  // CUDA C++ Programming Guide, "Shared Memory" of compute capability 7.x on
    const auto* function = reinterpret_cast<const void*>(kernel);
    if (shared_bytes > without_asking) {
        const cudaError_t status =
            cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
        if (status != cudaSuccess) return status;
    }
    return std::apply(
        [&](P&... each) {
            void* pointers[] = {const_cast<void*>(static_cast<const void*>(&each))..., nullptr};
            return cudaLaunchKernel(function, grid, block, pointers, shared_bytes, stream);
        },
        arguments);
}

}  // namespace t2i::cuda
