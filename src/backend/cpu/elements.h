// Tensors of the host as the CPU kernels take them.
#pragma once

#include <optional>

#include "core/tensor.h"
#include "kernels/cpu/cpu_kernels.h"
#include "ops/backend.h"

namespace t2i::cpu {

inline const float* floats(const TensorView& t) {
    return static_cast<const float*>(t.data);
}
inline const float* floats(const std::optional<TensorView>& t) {
    return t ? floats(*t) : nullptr;
}

// Elements from `offset` on.
inline MutableElements to(const TensorView& t, std::int64_t offset = 0) {
    return {static_cast<std::byte*>(t.data) + static_cast<std::size_t>(offset) * size_of(t.dtype), t.dtype == DType::bf16};
}
inline Elements from(const TensorView& t, std::int64_t offset = 0) {
    const MutableElements e = to(t, offset);
    return {e.data, e.is_bf16};
}
inline Elements from(const std::optional<TensorView>& t) {
    return t ? from(*t) : Elements{};
}

inline Function function(Activation a) {
    switch (a) {
        case Activation::none:
            return Function::identity;
        case Activation::relu:
            return Function::relu;
        case Activation::silu:
            return Function::silu;
        case Activation::gelu_tanh:
            return Function::gelu_tanh;
    }
    return Function::identity;
}

}  // namespace t2i::cpu
