#include "backend/cuda_module.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>

#include "backend/cuda_support/shared_library.h"
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

// Folder of the program or library that holds `address`.
fs::path folder_of(const void* address) {
    Dl_info info{};
    std::error_code ec;
    if (dladdr(address, &info) == 0 || !info.dli_fname) return {};
    return fs::canonical(info.dli_fname, ec).parent_path();
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
    std::error_code ec;
    std::vector<std::string> places;
    const auto add = [&](const fs::path& folder) {
        if (folder.empty()) return;
        for (const fs::path& place :
             {folder / cuda_module_file, (folder / ".." / "lib" / "t2i" / cuda_module_file).lexically_normal()})
            if (std::find(places.begin(), places.end(), place.string()) == places.end()) places.push_back(place.string());
    };
    add(fs::read_symlink("/proc/self/exe", ec).parent_path());
    add(folder_of(reinterpret_cast<const void*>(&cuda_module_places)));
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
