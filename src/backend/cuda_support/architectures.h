// Which of the GPU code in a binary runs on which GPU.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// One kind of code in a binary.
struct GpuCode {
    int major = 0, minor = 0;  // compute capability it was made for
    char suffix =
        '\0';  // 'a': this compute capability alone, 'f': its family; '\0': any later one too (machine code: of its major)
    bool is_ptx = false;  // text that the driver compiles at load; else machine code
};

// "90a-real;80-virtual;86" as CMake's CUDA_ARCHITECTURES: without an ending both kinds. What cannot be read is left out.
[[nodiscard]] std::vector<GpuCode> parse_gpu_code(std::string_view architectures);
// "sm_90a", "PTX compute_80".
[[nodiscard]] std::string name_of(const GpuCode& code);
// "sm_90a, PTX compute_80".
[[nodiscard]] std::string names_of(const std::vector<GpuCode>& codes);
// What a GPU of this compute capability runs: the newest fitting machine code, else the newest fitting PTX; null: nothing.
[[nodiscard]] const GpuCode* code_for(const std::vector<GpuCode>& codes, int major, int minor);

}  // namespace t2i
