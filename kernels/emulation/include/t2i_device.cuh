// The twin of kernels/cuda/ptx/t2i_device.cuh for kernels that run on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <tuple>
#include <utility>

#include "kernels/emulation/emulator.h"
#include "kernels/emulation/warp.h"

namespace t2i::cuda {

template <typename T>
T* dynamic_shared() {
    return static_cast<T*>(emulation::dynamic_shared_memory());
}

template <typename T>
T& static_shared() {
    static const char key = 0;  // its address stands for the type
    return *static_cast<T*>(emulation::static_shared_memory(&key, sizeof(T), alignof(T)));
}

namespace emulated {
template <typename V>
V load(const void* p) {
    emulation::check_aligned(p, sizeof(V), "a load");
    V value;
    std::memcpy(&value, p, sizeof(V));
    return value;
}
template <typename V>
void store(void* p, const V& value) {
    emulation::check_aligned(p, sizeof(V), "a store");
    std::memcpy(p, &value, sizeof(V));
}
}  // namespace emulated

inline uint4 load_16(const void* p) {
    return emulated::load<uint4>(p);
}
inline uint2 load_8(const void* p) {
    return emulated::load<uint2>(p);
}
inline void store_16(void* p, uint4 value) {
    emulated::store(p, value);
}
inline void store_8(void* p, uint2 value) {
    emulated::store(p, value);
}

template <typename... P>
cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                          const char* launcher, const std::tuple<P...>& arguments) {
    // A copy of the arguments, as the stream may do it later.
    const auto run = [=] {
        emulation::run({.kernel = reinterpret_cast<const void*>(kernel),
                        .launcher = launcher,
                        .grid = grid,
                        .block = block,
                        .dynamic_bytes = shared_bytes,
                        .thread = [&] { std::apply(kernel, arguments); }});
    };
    if (stream) stream->submit(run);
    else run();
    return cudaSuccess;
}

}  // namespace t2i::cuda
