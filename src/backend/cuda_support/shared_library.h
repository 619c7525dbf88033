// Libraries that a machine may lack, found at run time: in a CUDA toolkit, in pip's nvidia-* wheels, on the loader's path.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace t2i {

// Where libraries are looked for, in this order; the dynamic loader's own path comes last.
struct LibraryRoots {
    std::vector<std::filesystem::path> toolkits;         // each holds lib64/ or lib/
    std::vector<std::filesystem::path> python_prefixes;  // each holds lib/python3.*/{site,dist}-packages/nvidia/*/lib/
};

// $CUDA_HOME, $CUDA_PATH, /usr/local/cuda, /usr/local/cuda-*; $VIRTUAL_ENV, $CONDA_PREFIX, the parents of the folders of
// $PATH that hold a python3, /usr/local, /usr, ~/.local. Only what exists, each once.
[[nodiscard]] LibraryRoots library_roots();

// Existing files named `soname` ("libcudnn.so.9") under the roots, in the order above.
[[nodiscard]] std::vector<std::filesystem::path> library_candidates(const LibraryRoots& roots, const std::string& soname);

// A library that stays loaded until the process ends: one that has touched a GPU does not survive being unloaded.
struct SharedLibrary {
    void* handle = nullptr;  // null: not loaded, and `problem` says why
    std::string path;        // the file that was loaded
    std::string problem;     // one line: where it was looked for, or what the loader said

    [[nodiscard]] explicit operator bool() const { return handle != nullptr; }
    // Null when the library has no such function.
    [[nodiscard]] void* symbol(const char* name) const;
};

// Loads exactly this file. Not existing is a problem like any other.
[[nodiscard]] SharedLibrary load_library_file(const std::string& path);
// Loads the first candidate that the loader accepts.
[[nodiscard]] SharedLibrary load_library(const std::string& soname, const LibraryRoots& roots);

}  // namespace t2i
