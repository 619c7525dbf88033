// The functions of a library that a machine may lack, looked up one by one.
#pragma once

#include <cstddef>
#include <string>

#include "backend/cuda_module.h"
#include "backend/cuda_support/shared_library.h"

namespace t2i {

class LibraryFunctions {
  public:
    // Opens `soname` ("libcudnn.so.9"). `about` says what became of it: its path, or one line why it cannot be used.
    LibraryFunctions(CudaLibrary& about, const std::string& soname, const LibraryRoots& roots);

    // `function` stays null where the library lacks it, or is not there.
    template <typename Result, typename... Arguments>
    void find(Result (*&function)(Arguments...), const char* name) {
        function = reinterpret_cast<Result (*)(Arguments...)>(symbol(name));
    }
    // All that was looked for is there.
    [[nodiscard]] bool are_complete() const { return about_.problem.empty(); }

    // 91900 as "9.19.0", as cuBLASLt and cuDNN count.
    [[nodiscard]] static std::string version_text(std::size_t version);

  private:
    void* symbol(const char* name);
    CudaLibrary& about_;
    SharedLibrary library_;
};

}  // namespace t2i
