// GGUF's block types as kernels take them: weights in blocks of 32 or 256 values of a few bits with scales that they share. The
// layouts stand in src/core/block_layout.h.
#pragma once

#include <cstdint>

namespace t2i::kernels {
enum class BlockType : std::uint8_t { q8_0, q4_0, q4_k, q5_k, q6_k };
}
