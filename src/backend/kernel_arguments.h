// Tensors and functions as the kernels of every backend take them (kernels/elements.h, kernels/function.h).
#pragma once

#include <optional>

#include "core/tensor.h"
#include "kernels/block_type.h"
#include "kernels/elements.h"
#include "kernels/function.h"
#include "ops/backend.h"

namespace t2i {

inline const float* floats(const TensorView& t) {
    return static_cast<const float*>(t.data);
}
inline const float* floats(const std::optional<TensorView>& t) {
    return t ? floats(*t) : nullptr;
}
inline float* mutable_floats(const TensorView& t) {
    return static_cast<float*>(t.data);
}

// Elements from `offset` on.
inline kernels::MutableElements mutable_elements(const TensorView& t, std::int64_t offset = 0) {
    return {static_cast<std::byte*>(t.data) + static_cast<std::size_t>(offset) * size_of(t.dtype), t.dtype == DType::bf16};
}
inline kernels::Elements elements(const TensorView& t, std::int64_t offset = 0) {
    const kernels::MutableElements e = mutable_elements(t, offset);
    return {e.data, e.is_bf16};
}
inline kernels::Elements elements(const std::optional<TensorView>& t) {
    return t ? elements(*t) : kernels::Elements{};
}

inline kernels::BlockType block_type(DType dtype) {
    switch (dtype) {
        case DType::q8_0:
            return kernels::BlockType::q8_0;
        case DType::q4_0:
            return kernels::BlockType::q4_0;
        case DType::q4_k:
            return kernels::BlockType::q4_k;
        case DType::q5_k:
            return kernels::BlockType::q5_k;
        case DType::q6_k:
            return kernels::BlockType::q6_k;
        default:
            break;
    }
    T2I_CHECK(is_block_type(dtype), std::string(name_of(dtype)) + " is no block type");
    return kernels::BlockType::q8_0;
}

inline kernels::Function function(Activation a) {
    switch (a) {
        case Activation::none:
            return kernels::Function::identity;
        case Activation::relu:
            return kernels::Function::relu;
        case Activation::silu:
            return kernels::Function::silu;
        case Activation::gelu_tanh:
            return kernels::Function::gelu_tanh;
    }
    return kernels::Function::identity;
}
inline kernels::Function function(Unary f) {
    switch (f) {
        case Unary::silu:
            return kernels::Function::silu;
        case Unary::gelu_tanh:
            return kernels::Function::gelu_tanh;
        case Unary::relu:
            return kernels::Function::relu;
        case Unary::soft_clamp3:
            return kernels::Function::soft_clamp3;
        case Unary::exp:
            return kernels::Function::exp;
    }
    return kernels::Function::identity;
}

}  // namespace t2i
