// The functions of elements (kernels/ref/pointwise.cpp has their formulas), f32, within a few units in the last place.
#pragma once

#include <cuda_runtime.h>

#include "kernels/function.h"

namespace t2i::cuda {

__device__ __forceinline__ float silu(float x) {
    return x / (1.0F + expf(-x));
}

// ½x(1 + tanh z) = x / (1 + exp(-2z)): no cancellation where x is negative.
__device__ __forceinline__ float gelu_tanh(float x) {
    constexpr float linear = 1.5957691216057308F, cubic = 0.07135481282553544F;  // 2·√(2/π), 2·√(2/π)·0.044715
    return x / (1.0F + expf(-x * fmaf(cubic, x * x, linear)));
}

// The function is the same for all threads, so the choice costs next to nothing.
__device__ __forceinline__ float apply(kernels::Function f, float x) {
    switch (f) {
        case kernels::Function::identity:
            return x;
        case kernels::Function::relu:
            return x < 0.0F ? 0.0F : x;  // NaN stays
        case kernels::Function::silu:
            return silu(x);
        case kernels::Function::gelu_tanh:
            return gelu_tanh(x);
        case kernels::Function::soft_clamp3:
            return 3.0F * tanhf(x / 3.0F);
        case kernels::Function::exp:
            return expf(x);
    }
    return x;
}

}  // namespace t2i::cuda
