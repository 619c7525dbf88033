// The CUDA backend is a module of its own, libt2i_cuda.so, loaded at run time: this binary runs with or without it.
// This header is what both sides agree on; it names nothing of CUDA.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backend.h"
#include "t2i/log.h"

namespace t2i {

struct CudaOptions {
    int device = 0;          // as the driver counts, after CUDA_VISIBLE_DEVICES
    bool fast_math = false;  // BackendOptions::fast_math
    Log log{};               // BackendOptions::log
};

// A library that the module looked for.
struct CudaLibrary {
    std::string name;           // "cuBLASLt"
    std::string package;        // what to install: "nvidia-cublas"
    std::string path, version;  // empty: not found
    std::string problem;        // why not, one line
};

struct CudaDevice {
    int index = 0;
    std::string name;
    int major = 0, minor = 0;      // compute capability
    std::size_t memory_bytes = 0;  // all of it
    std::string code;              // what of the module runs there: "sm_90a", "PTX compute_80"; empty: nothing does
};

// What the module finds on this machine. Made without touching a GPU's memory, so it works without one.
struct CudaReport {
    std::string toolkit;        // the module was built with it: "13.0"
    std::string driver;         // newest CUDA that the driver knows: "13.0"; empty: no driver
    std::string architectures;  // in the module: "sm_90a, PTX compute_80"
    std::vector<CudaDevice> devices;
    CudaLibrary cublaslt, cudnn;
    std::string problem;  // why no device can be used, one line; empty: one can
};

// What the module exports. `bytes` and `abi` stand first in every version, so that another version's is refused, not called.
struct CudaModule {
    std::size_t bytes = 0;                                           // sizeof(CudaModule)
    const char* abi = nullptr;                                       // cuda_module_abi() where it was built
    std::unique_ptr<Backend> (*make)(const CudaOptions&) = nullptr;  // throws Error{resource}
    CudaReport (*report)() = nullptr;
};

// The one function that libt2i_cuda.so exports: `extern "C" const CudaModule* t2i_cuda_module()`.
inline constexpr const char* cuda_module_entry = "t2i_cuda_module";
inline constexpr const char* cuda_module_file = "libt2i_cuda.so";

// Version of t2i, hash of the headers that both sides share, compiler: all that makes classes fit together.
[[nodiscard]] std::string_view cuda_module_abi();

struct LoadedCudaModule {
    const CudaModule* module = nullptr;  // null: see problem
    std::string path, problem;
};

// The first of `places` that exists, checked; why not otherwise. A module that is there but does not fit is a problem, and
// no later place is tried: it would be an accident which one ran.
[[nodiscard]] LoadedCudaModule load_cuda_module(std::span<const std::string> places);
// $T2I_CUDA_MODULE alone where it is set. Else beside the library that this code is in and beside the program, and in t2i,
// ../t2i and ../lib/t2i from there.
[[nodiscard]] std::vector<std::string> cuda_module_places();
// This process's module, loaded when first asked for.
[[nodiscard]] const LoadedCudaModule& cuda_module();

// Whether NVIDIA's driver library is on this machine: without it, loading the module tells nothing more.
[[nodiscard]] bool has_nvidia_driver();

// Throws Error{resource}: no module, no such device, missing library.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace t2i
