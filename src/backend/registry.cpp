#include "backend/registry.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_module.h"
#include "backend/emulated/emulated_backend.h"
#include "backend/ref/ref_backend.h"
#include "t2i/error.h"

namespace t2i {
namespace {

struct Row {
    std::string_view name;
    std::unique_ptr<Backend> (*make)(const BackendOptions& options);
};

constexpr Row rows[] = {
    {"cpu", [](const BackendOptions& options) { return make_cpu_backend(options.threads); }},
    {"emulated", [](const BackendOptions&) { return make_emulated_backend("emulated"); }},
    {"ref", [](const BackendOptions&) { return make_ref_backend(); }},
};

}  // namespace

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
    if (name == "cuda" || name.starts_with("cuda:")) return make_cuda_backend(name, options.fast_math);
    if (name.starts_with("emulated:")) return make_emulated_backend(name);
    std::string known = "cuda";
    for (const Row& row : rows) {
        if (row.name == name) return row.make(options);
        known += ", " + std::string(row.name);
    }
    throw Error(ErrorCode::usage, "no backend '" + std::string(name) + "' in this binary; it has " + known);
}

std::vector<std::string> backend_names() {
    std::vector<std::string> names;
    if (cuda_unavailable_reason().empty()) names.emplace_back("cuda");
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

std::string cuda_unavailable_reason() {
    if (!has_nvidia_driver()) return "no NVIDIA driver on this machine (libcuda.so.1 was not found)";
    const LoadedCudaModule& loaded = cuda_module();
    if (!loaded.module) return loaded.problem;
    const CudaReport report = loaded.module->report();
    return report.problem.empty() ? report.cudnn.problem : report.problem;  // the decoders need cuDNN
}

DType default_compute_dtype(const Backend& backend) {
    return backend.is_quicker_in_bf16() ? DType::bf16 : DType::f32;
}

}  // namespace t2i
