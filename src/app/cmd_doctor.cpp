// t2i doctor: what this machine has for t2i, what would run where, and what to install for the rest.
#include <cstdio>
#include <optional>

#include "app/arguments.h"
#include "app/command.h"
#include "backend/cuda_module.h"
#include "backend/registry.h"
#include "core/escape.h"
#include "t2i/error.h"
#include "t2i/version.h"

namespace t2i::app {

namespace {

void print(const char* label, const std::string& text) {
    std::printf("%-12s %s\n", label, escaped(text).c_str());
}

// What to do about it, collected while the rest is printed.
using Advice = std::vector<std::string>;

void print_cpu(Advice& advice) {
    print("program", std::string("t2i ") + T2I_VERSION);
    print("processor", make_backend("cpu")->description());
    try {
        print("model", bundled_model());
    } catch (const Error& error) {
        print("model", "none");
        advice.push_back(error.what());
    }
}

void print_library(const CudaLibrary& library, Advice& advice) {
    if (library.problem.empty()) {
        print(library.name.c_str(), library.version + ", " + library.path);
        return;
    }
    print(library.name.c_str(), "none: " + library.problem);
    advice.push_back(library.name + ": install the CUDA toolkit's, or in Python: pip install " + library.package);
}

void print_gpus(const CudaReport& report, Advice& advice) {
    if (report.driver.empty()) {
        print("driver", "none: libcuda.so.1 was not found");
        advice.emplace_back(
            "a GPU's driver: package nvidia-driver of Debian and Ubuntu's nvidia-driver-NNN, or www.nvidia.com/drivers");
    } else {
        print("driver", "knows CUDA up to " + report.driver);
    }
    for (const auto& gpu : report.devices) {
        const std::string capability = std::to_string(gpu.major) + "." + std::to_string(gpu.minor);
        print(("GPU " + std::to_string(gpu.index)).c_str(), gpu.name + ", compute capability " + capability + ", " +
                                                                std::to_string(gpu.memory_bytes >> 20) + " MiB, runs " +
                                                                (gpu.code.empty() ? "nothing of this module" : gpu.code));
        if (gpu.code.empty())
            advice.push_back("GPU " + std::to_string(gpu.index) +
                             ": build with -DT2I_CUDA_ARCHITECTURES=" + std::to_string(10 * gpu.major + gpu.minor));
    }
    if (report.devices.empty()) print("GPUs", "none: " + report.problem);
    else if (report.devices.front().code.starts_with("PTX"))
        advice.emplace_back("the driver compiles PTX when the program first runs; code made for the card starts at once");
}

// Why GPU `index` cannot be used, one line; empty: it can.
std::string problem_of(std::size_t index, const CudaReport* report) {
    if (std::string reason = cuda_unavailable_reason(); !reason.empty() || !report) return reason;
    if (index >= report->devices.size())
        return "no GPU " + std::to_string(index) + " here; GPUs: " + std::to_string(report->devices.size());
    const CudaDevice& gpu = report->devices[index];
    return gpu.code.empty() ? gpu.name + " runs nothing of this module, which holds " + report->architectures : "";
}

}  // namespace

int run_doctor(const CommandLine& line) {
    std::string device = "auto";
    CLI::App app{"Prints what this machine has for t2i, what would run where, and what is missing.", "t2i doctor"};
    app.add_option("--device", device, "exit with 4 unless this works: auto, cuda, cuda:N, cpu, emulated or ref")
        ->capture_default_str();
    if (!parse(app, line)) return 0;
    const DeviceName wanted = parse_device(device);

    Advice advice;
    print_cpu(advice);
    const LoadedCudaModule& loaded = cuda_module();
    std::optional<CudaReport> report;
    if (loaded.module) {
        report = loaded.module->report();
        print("CUDA module", loaded.path + ", CUDA " + report->toolkit + ", holds " + report->architectures);
        print_gpus(*report, advice);
        print_library(report->cublaslt, advice);
        print_library(report->cudnn, advice);
    } else {
        print("CUDA module", "none: " + loaded.problem);
        advice.emplace_back("the CUDA module: build with -DT2I_CUDA=ON where nvcc and cuDNN's headers are, or take a release");
    }
    const std::string reason = cuda_unavailable_reason();
    print("auto", reason.empty() ? "runs on cuda" : "runs on cpu; not on cuda: " + reason);
    for (const auto& what : advice) print("advice", what);
    if (wanted.kind != "cuda") return 0;
    const std::string problem = problem_of(static_cast<std::size_t>(wanted.gpu), report ? &*report : nullptr);
    if (!problem.empty()) throw Error(ErrorCode::resource, problem, "--device " + device);
    return 0;
}

}  // namespace t2i::app
