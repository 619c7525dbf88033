#include "backend/cuda_module.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "backend/cuda_support/shared_library.h"
#include "core/own_folders.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// Checks before it believes: everything but the first two fields may differ in another version.
void accept(const SharedLibrary& library, LoadedCudaModule& loaded) {
    void* entry = library.symbol(cuda_module_entry);
    if (!entry) {
        loaded.problem = loaded.path + ": not a module of t2i (it lacks " + cuda_module_entry + ")";
        return;
    }
    const auto* module = reinterpret_cast<const CudaModule* (*)()>(entry)();
    const std::string abi = module && module->abi ? module->abi : "";
    if (abi != cuda_module_abi() || module->bytes != sizeof(CudaModule)) {
        loaded.problem =
            loaded.path + ": built for another t2i (\"" + abi + "\", this one is \"" + std::string(cuda_module_abi()) + "\")";
        return;
    }
    loaded.module = module;
}

}  // namespace

LoadedCudaModule load_cuda_module(std::span<const std::string> places) {
    LoadedCudaModule loaded;
    std::string looked;
    for (const auto& place : places) {
        std::error_code ec;
        looked += (looked.empty() ? "" : ", ") + place;
        if (!fs::exists(place, ec)) continue;
        loaded.path = place;
        const SharedLibrary library = load_library_file(place);
        if (library) accept(library, loaded);
        else loaded.problem = "the CUDA module cannot be loaded: " + library.problem;
        return loaded;
    }
    loaded.problem = "this build has no CUDA module (looked for " + looked + ")";
    return loaded;
}

std::vector<std::string> cuda_module_places() {
    if (const char* told = std::getenv("T2I_CUDA_MODULE"); told && *told) return {told};
    std::vector<std::string> places;
    for (const fs::path& folder : own_folders())
        for (const char* from_there : {"", "t2i", "../t2i", "../lib/t2i"}) {
            const std::string place = (folder / from_there / cuda_module_file).lexically_normal().string();
            if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
        }
    return places;
}

const LoadedCudaModule& cuda_module() {
    static const LoadedCudaModule loaded = load_cuda_module(cuda_module_places());
    return loaded;
}

bool has_nvidia_driver() {
    static const bool found = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr;
    return found;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
    const LoadedCudaModule& loaded = cuda_module();
    if (!loaded.module) throw Error(ErrorCode::resource, loaded.problem, Field{"device"});
    return loaded.module->make(options);
}

}  // namespace t2i
