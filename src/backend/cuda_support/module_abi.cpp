// Compiled into the program and into the module: they fit when both hold the same text.
#include "backend/cuda_module.h"

namespace t2i {

std::string_view cuda_module_abi() {
    return T2I_CUDA_ABI ", " __VERSION__;
}

}  // namespace t2i
