// Activations as kernels take them: f32, or bf16, of which an element is a std::uint16_t that holds the upper half of a binary32.
#pragma once

namespace t2i::kernels {

// Data of either type. Null data: an optional argument that is not there.
struct Elements {
    const void* data = nullptr;
    bool is_bf16 = false;
};
struct MutableElements {
    void* data = nullptr;
    bool is_bf16 = false;
};

}  // namespace t2i::kernels
