#include "backend/cuda_support/library_functions.h"

namespace t2i {

LibraryFunctions::LibraryFunctions(CudaLibrary& about, const std::string& soname, const LibraryRoots& roots)
    : about_(about), library_(load_library(soname, roots)) {
    about_.path = library_.path;
    about_.problem = library_.problem;
}

void* LibraryFunctions::symbol(const char* name) {
    void* const found = library_.symbol(name);
    if (!found && library_) {
        about_.problem = library_.path + " lacks " + name;
        about_.path.clear();
    }
    return found;
}

std::string LibraryFunctions::version_text(std::size_t version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

}  // namespace t2i
