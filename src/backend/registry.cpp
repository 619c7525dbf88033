#include "backend/registry.h"

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_module.h"
#include "backend/emulated/emulated_backend.h"
#include "backend/ref/ref_backend.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {
namespace {

struct Row {
    std::string_view name;
    std::unique_ptr<Backend> (*make)(std::string_view name, const BackendOptions& options);
};

// Those that work on every machine.
constexpr Row rows[] = {
    {"cpu", [](std::string_view, const BackendOptions& options) { return make_cpu_backend(options.threads); }},
    {"emulated", [](std::string_view name, const BackendOptions&) { return make_emulated_backend(name); }},
    {"ref", [](std::string_view, const BackendOptions&) { return make_ref_backend(); }},
};

}  // namespace

DeviceName parse_device(std::string_view name) {
    const std::string_view kind = name.substr(0, name.find(':'));
    const bool is_plain = kind.size() == name.size();
    if (kind == "cuda") {
        DeviceName device{.kind = "cuda"};
        if (is_plain) return device;
        device.gpu = parse_number<int>(name.substr(kind.size() + 1)).value_or(-1);
        if (device.gpu < 0)
            throw Error(ErrorCode::invalid_argument, "\"" + std::string(name) + "\" is not cuda or cuda:N with N = 0, 1, …",
                        Field{"device"});
        return device;
    }
    if (is_plain && kind == "auto") return {.kind = "auto"};
    std::string known = "auto, cuda, cuda:N";
    for (const Row& row : rows) {
        if (row.name == kind && (is_plain || kind == "emulated")) return {.kind = row.name};
        known += ", " + std::string(row.name);
    }
    throw Error(ErrorCode::invalid_argument, "unknown device \"" + std::string(name) + "\" (" + known + ")", Field{"device"});
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
    DeviceName device = parse_device(name);
    if (device.kind == "auto") device.kind = cuda_unavailable_reason().empty() ? "cuda" : "cpu";
    if (device.kind == "cuda")
        return make_cuda_backend({.device = device.gpu, .fast_math = options.fast_math, .log = options.log});
    return std::ranges::find(rows, device.kind, &Row::name)->make(name, options);
}

std::vector<std::string> backend_names() {
    std::vector<std::string> names;
    if (cuda_unavailable_reason().empty()) names.emplace_back("cuda");
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

std::vector<std::pair<std::string, std::string>> backend_choices() {
    std::vector<std::pair<std::string, std::string>> all;
    if (cuda_unavailable_reason().empty())
        for (const CudaDevice& gpu : cuda_module().module->report().devices)
            if (!gpu.code.empty()) all.emplace_back("cuda:" + std::to_string(gpu.index), gpu.name);
    for (const Row& row : rows) all.emplace_back(row.name, row.make(row.name, {})->description());
    return all;
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

DType parse_compute_dtype(std::string_view name, const Backend& backend) {
    if (name == "auto") return default_compute_dtype(backend);
    if (name == name_of(DType::f32)) return DType::f32;
    if (name != name_of(DType::bf16))
        throw Error(ErrorCode::invalid_argument, "unknown dtype \"" + std::string(name) + "\" (auto, f32, bf16)", Field{"dtype"});
    if (!backend.supports(Op::linear, DType::bf16))
        throw Error(ErrorCode::resource, "bf16 needs a CPU with AVX-512 BF16 or AMX; this one has neither (use auto or f32)",
                    Field{"dtype"});
    return DType::bf16;
}

}  // namespace t2i
