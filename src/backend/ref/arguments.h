// Tensors and convolutions as the reference kernels take them (kernels/ref): for the reference, and for backends that fall back
// on it in host memory.
#pragma once

#include <array>
#include <optional>

#include "core/tensor.h"
#include "kernels/ref/ref_kernels.h"

namespace t2i::ref {

inline Element element(DType t) {
    switch (t) {
        case DType::f16:
            return Element::f16;
        case DType::bf16:
            return Element::bf16;
        default:
            return Element::f32;
    }
}
inline In in(const TensorView& t) {
    return {t.data, element(t.dtype)};
}
inline In in(const std::optional<TensorView>& t) {
    return t ? in(*t) : In{};
}
inline Out out(const TensorView& t) {
    return {t.data, element(t.dtype)};
}

// The sizes of a convolution of x [B, H, W, Cin] with w [Cout, Cin, KH, KW]; all pointers are still null.
inline Conv2d conv2d_sizes(const Shape& x, const Shape& w, std::int64_t stride, const std::array<std::int64_t, 4>& padding) {
    return {.batch = x[0],
            .height = x[1],
            .width = x[2],
            .channels_in = x[3],
            .channels_out = w[0],
            .kernel_height = w[2],
            .kernel_width = w[3],
            .stride = stride,
            .padding = padding,
            .x = {},
            .weight = nullptr,
            .bias = {},
            .function = Function::identity,
            .residual = {},
            .out = {}};
}

}  // namespace t2i::ref
