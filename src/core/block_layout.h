// The bytes of each block type. Scales are f16.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace t2i::blocks {

struct Q8_0 {
    std::uint16_t d;
    std::int8_t q[32];
};
struct Q4_0 {
    std::uint16_t d;
    std::uint8_t q[16];  // value j in the low half of byte j, value j + 16 in the high one
};
// Eight runs of 32 values, each with a scale and a minimum of six bits.
struct Q4_K {
    std::uint16_t d, minimum;
    std::uint8_t scales[12];
    std::uint8_t q[128];  // of each 64 values the first 32 in the low halves of 32 bytes, the others in the high halves
};
struct Q5_K {
    std::uint16_t d, minimum;
    std::uint8_t scales[12];
    std::uint8_t high[32];  // bit i / 32 of byte i % 32: the fifth bit of value i
    std::uint8_t q[128];    // the other four, as in Q4_K
};
// Sixteen runs of 16 values.
struct Q6_K {
    std::uint8_t low[128], high[64];
    std::int8_t scales[16];
    std::uint16_t d;
};

static_assert(sizeof(Q8_0) == block_of(DType::q8_0).bytes && sizeof(Q4_0) == block_of(DType::q4_0).bytes &&
              sizeof(Q4_K) == block_of(DType::q4_k).bytes && sizeof(Q5_K) == block_of(DType::q5_k).bytes &&
              sizeof(Q6_K) == block_of(DType::q6_k).bytes);

// Where in a block of a type its f16 scales stand: one, or with `minimum` two. No block type: none.
struct ScalePlaces {
    std::array<std::size_t, 2> bytes{};
    std::size_t count = 0;
};
[[nodiscard]] constexpr ScalePlaces scale_places(DType dtype) {
    switch (dtype) {
        case DType::q8_0:
            return {{offsetof(Q8_0, d)}, 1};
        case DType::q4_0:
            return {{offsetof(Q4_0, d)}, 1};
        case DType::q4_k:
            return {{offsetof(Q4_K, d), offsetof(Q4_K, minimum)}, 2};
        case DType::q5_k:
            return {{offsetof(Q5_K, d), offsetof(Q5_K, minimum)}, 2};
        case DType::q6_k:
            return {{offsetof(Q6_K, d)}, 1};
        default:
            return {};
    }
}

// The scale and the minimum of run j of eight, 0 … 63 each.
struct ScaleAndMinimum {
    int scale, minimum;
};
[[nodiscard]] constexpr ScaleAndMinimum scale_and_minimum(const std::uint8_t* packed, int j) {
    if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
    return {(packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4)};
}
constexpr void set_scale_and_minimum(std::uint8_t* packed, int j, ScaleAndMinimum v) {
    const auto byte = [](int bits) { return static_cast<std::uint8_t>(bits); };
    if (j < 4) {
        packed[j] = byte((packed[j] & 192) | v.scale);
        packed[j + 4] = byte((packed[j + 4] & 192) | v.minimum);
    } else {
        packed[j + 4] = byte((v.scale & 15) | ((v.minimum & 15) << 4));
        packed[j - 4] = byte((packed[j - 4] & 63) | ((v.scale >> 4) << 6));
        packed[j] = byte((packed[j] & 63) | ((v.minimum >> 4) << 6));
    }
}

}  // namespace t2i::blocks
