// The scalar functions that operations apply to elements; kernels/ref/pointwise.cpp has their formulas.
#pragma once

#include <cstdint>

namespace t2i::kernels {
enum class Function : std::uint8_t { identity, relu, silu, gelu_tanh, soft_clamp3, exp };
}
