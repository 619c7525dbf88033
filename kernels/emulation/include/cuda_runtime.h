// The part of CUDA's language and runtime that our kernels use, for a host compiler. Names and meanings are CUDA's (CUDA C++
// Programming Guide, "C++ Language Extensions"); what threads do together is in kernels/emulation/warp.h.
//
// There is no __shared__ here on purpose: shared memory comes from dynamic_shared() and static_shared() of <t2i_device.cuh>,
// where it can be poisoned and watched.
#pragma once

#include <vector_types.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "kernels/emulation/stream.h"
#include "kernels/emulation/warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

constinit inline thread_local uint3 threadIdx{}, blockIdx{};
constinit inline thread_local dim3 blockDim{}, gridDim{};

using std::max;
using std::min;

// ---- runtime ----

using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
inline const char* cudaGetErrorString(cudaError_t status) {
    return status == cudaSuccess ? "no error" : "invalid argument";
}

// ---- threads together ----

inline void __syncthreads(std::source_location where = std::source_location::current()) {
    t2i::emulation::wait_at_barrier(where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, std::source_location where = std::source_location::current()) {
    int nothing = 0;
    t2i::emulation::warp_collective(nothing, [](int* const*) {}, mask, where);
}

namespace t2i::emulation {

template <typename T>
struct Exchange {
    T value;
    int from;  // lane
    T result;
};
// Every lane gets the value of the lane that it names; one that takes no part gives nothing, which is an error.
template <typename T>
T exchange(T value, int from, unsigned mask, std::source_location where) {
    Exchange<T> own{value, from, value};
    warp_collective(
        own,
        [](Exchange<T>* const* all) {
            for (int lane = 0; lane < warp_lanes; ++lane)
                if (all[lane]) all[lane]->result = present(all, all[lane]->from)->value;
        },
        mask, where);
    return own.result;
}
// The lanes whose predicate holds, to each.
inline unsigned ballot(bool predicate, unsigned mask, std::source_location where) {
    Exchange<unsigned> own{predicate, 0, 0};
    warp_collective(
        own,
        [](Exchange<unsigned>* const* all) {
            unsigned votes = 0;
            for (unsigned lane = 0; lane < warp_lanes; ++lane)
                if (all[lane] && all[lane]->value) votes |= 1U << lane;
            for (int lane = 0; lane < warp_lanes; ++lane)
                if (all[lane]) all[lane]->result = votes;
        },
        mask, where);
    return own.result;
}

}  // namespace t2i::emulation

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, std::source_location where = std::source_location::current()) {
    const int lane = t2i::emulation::lane();
    return t2i::emulation::exchange(value, lane / width * width + (source & (width - 1)), mask, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  std::source_location where = std::source_location::current()) {
    const int lane = t2i::emulation::lane(), from = lane ^ bits;
    return t2i::emulation::exchange(value, from < (lane / width + 1) * width ? from : lane, mask, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned steps, int width = 32,
                   std::source_location where = std::source_location::current()) {
    const int lane = t2i::emulation::lane(), from = lane + static_cast<int>(steps);
    return t2i::emulation::exchange(value, from < (lane / width + 1) * width ? from : lane, mask, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned steps, int width = 32,
                 std::source_location where = std::source_location::current()) {
    const int lane = t2i::emulation::lane(), from = lane - static_cast<int>(steps);
    return t2i::emulation::exchange(value, from >= lane / width * width ? from : lane, mask, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
    return t2i::emulation::ballot(predicate != 0, mask, where);
}
inline int __any_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
    return t2i::emulation::ballot(predicate != 0, mask, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
    return t2i::emulation::ballot(predicate != 0, mask, where) == mask;
}

// One thread runs at a time, so that any read and write is atomic.
template <typename T>
T atomicAdd(T* address, T value) {
    const T old = *address;
    *address = old + value;
    return old;
}
template <typename T>
T atomicMin(T* address, T value) {
    const T old = *address;
    *address = std::min(old, value);
    return old;
}
template <typename T>
T atomicMax(T* address, T value) {
    const T old = *address;
    *address = std::max(old, value);
    return old;
}

// ---- numbers ----

template <typename T>
T __ldg(const T* address) {
    return *address;
}
inline float __uint_as_float(unsigned bits) {
    return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float x) {
    return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int bits) {
    return std::bit_cast<float>(bits);
}
inline int __float_as_int(float x) {
    return std::bit_cast<int>(x);
}
inline double __dmul_rn(double a, double b) {
    return a * b;
}
inline double __dadd_rn(double a, double b) {
    return a + b;
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float rsqrtf(float x) {
    return 1.0F / std::sqrt(x);
}
inline float __expf(float x) {
    return std::exp(x);
}
