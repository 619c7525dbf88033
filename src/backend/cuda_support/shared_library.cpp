#include "backend/cuda_support/shared_library.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace t2i {

namespace fs = std::filesystem;

namespace {

void add_folder(std::vector<fs::path>& list, const fs::path& folder) {
    std::error_code ec;
    if (folder.empty() || !fs::is_directory(folder, ec)) return;
    const fs::path real = fs::canonical(folder, ec);
    const auto same = [&](const fs::path& known) {
        std::error_code ignored;
        return fs::canonical(known, ignored) == real;
    };
    if (!ec && std::none_of(list.begin(), list.end(), same)) list.push_back(folder);
}

fs::path from_environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? fs::path(value) : fs::path();
}

// Folders directly in `parent` whose name begins with `prefix`, highest name first: python3.12 before python3.11.
std::vector<fs::path> folders_in(const fs::path& parent, const std::string& prefix) {
    std::vector<fs::path> found;
    std::error_code ec;
    for (fs::directory_iterator it(parent, ec), end; !ec && it != end; it.increment(ec)) {
        std::error_code ignored;
        if (it->path().filename().string().starts_with(prefix) && it->is_directory(ignored)) found.push_back(it->path());
    }
    std::sort(found.rbegin(), found.rend());
    return found;
}

std::string loaded_from(void* handle, const std::string& otherwise) {
    link_map* map = nullptr;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name) return map->l_name;
    return otherwise;
}

// The loader's message, in one line.
std::string loader_error() {
    const char* text = dlerror();
    std::string line = text ? text : "the loader gave no reason";
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

std::string joined(const std::vector<fs::path>& paths) {
    std::string text;
    for (const auto& path : paths) text += (text.empty() ? "" : ", ") + path.string();
    return text;
}

}  // namespace

LibraryRoots library_roots() {
    LibraryRoots roots;
    add_folder(roots.toolkits, from_environment("CUDA_HOME"));
    add_folder(roots.toolkits, from_environment("CUDA_PATH"));
    add_folder(roots.toolkits, "/usr/local/cuda");
    for (const auto& folder : folders_in("/usr/local", "cuda-")) add_folder(roots.toolkits, folder);

    add_folder(roots.python_prefixes, from_environment("VIRTUAL_ENV"));
    add_folder(roots.python_prefixes, from_environment("CONDA_PREFIX"));
    std::istringstream search(from_environment("PATH").string());
    for (std::string folder; std::getline(search, folder, ':');) {
        std::error_code ec;
        if (!folder.empty() && fs::exists(fs::path(folder) / "python3", ec))
            add_folder(roots.python_prefixes, fs::path(folder).parent_path());
    }
    add_folder(roots.python_prefixes, "/usr/local");
    add_folder(roots.python_prefixes, "/usr");
    if (const fs::path home = from_environment("HOME"); !home.empty()) add_folder(roots.python_prefixes, home / ".local");
    return roots;
}

std::vector<fs::path> library_candidates(const LibraryRoots& roots, const std::string& soname) {
    std::vector<fs::path> found;
    const auto look_in = [&](const fs::path& folder) {
        std::error_code ec;
        if (fs::exists(folder / soname, ec)) found.push_back(folder / soname);
    };
    for (const auto& toolkit : roots.toolkits)
        for (const char* folder : {"lib64", "lib", "targets/x86_64-linux/lib"}) look_in(toolkit / folder);
    for (const auto& prefix : roots.python_prefixes)
        for (const auto& python : folders_in(prefix / "lib", "python3"))
            for (const char* packages : {"site-packages", "dist-packages"})
                for (const auto& wheel : folders_in(python / packages / "nvidia", "")) look_in(wheel / "lib");
    return found;
}

void* SharedLibrary::symbol(const char* name) const {
    return handle ? dlsym(handle, name) : nullptr;
}

SharedLibrary load_library_file(const std::string& path) {
    SharedLibrary library;
    library.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library.handle) library.path = loaded_from(library.handle, path);
    else library.problem = loader_error();
    return library;
}

SharedLibrary load_library(const std::string& soname, const LibraryRoots& roots) {
    std::string refused;
    for (const auto& candidate : library_candidates(roots, soname)) {
        SharedLibrary library = load_library_file(candidate.string());
        if (library) return library;
        refused += (refused.empty() ? "" : "; ") + library.problem;
    }
    SharedLibrary library = load_library_file(soname);
    if (library) return library;
    if (!refused.empty()) library.problem = soname + " cannot be loaded: " + refused;
    else
        library.problem = soname + " not found in a CUDA toolkit (" +
                          (roots.toolkits.empty() ? "none here" : joined(roots.toolkits)) + "), in nvidia-* wheels (" +
                          (roots.python_prefixes.empty() ? "no Python here" : joined(roots.python_prefixes)) +
                          ") or on the loader's path";
    return library;
}

}  // namespace t2i
