// The one way to start a kernel. <t2i_device.cuh> is found in kernels/cuda/ptx by nvcc and in kernels/emulation/include by an
// emulated build, so that sources need no <<<>>> and do not know which it is.
#pragma once

#include <cstddef>
#include <source_location>
#include <t2i_device.cuh>
#include <tuple>
#include <utility>

#include "kernels/cuda/cuda_kernels.h"

namespace t2i::cuda {

// A stream, and who launches on it: the name that an error gives.
struct LaunchStream {
    cudaStream_t stream;
    const char* launcher;
    // Implicit on purpose: `where` is then the launcher that passes its stream.
    LaunchStream(cudaStream_t s,
                 std::source_location where = std::source_location::current())  // NOLINT(google-explicit-constructor)
        : stream(s), launcher(where.function_name()) {}
};

// Queues kernel(arguments...) over `grid` blocks of `block` threads with `shared_bytes` of dynamic shared memory (at most
// 227 KB on compute capability 9.0, 163 KB on 8.0, 99 KB on 8.6 and 8.9). Arguments are copied.
template <typename... P, typename... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, LaunchStream stream, A&&... arguments) {
    static_assert((sizeof(P) + ... + 0) <= 4096, "more than a kernel takes (CUDA C++ Programming Guide, Function Parameters)");
    std::tuple<P...> copies(std::forward<A>(arguments)...);
    check_launch(launch_kernel(kernel, grid, block, shared_bytes, stream.stream, stream.launcher, copies), stream.launcher);
}

}  // namespace t2i::cuda
