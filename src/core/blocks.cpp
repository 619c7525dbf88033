#include "core/blocks.h"

#include <cstring>

#include "core/block_layout.h"
#include "core/check.h"

namespace t2i {
namespace {

using namespace blocks;

float half(std::uint16_t bits) {
    return to_f32(f16{bits});
}

void unpack(const Q8_0& b, float* y) {
    const float d = half(b.d);
    for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(b.q[j]);
}

void unpack(const Q4_0& b, float* y) {
    const float d = half(b.d);
    for (int j = 0; j < 16; ++j) {
        y[j] = d * static_cast<float>((b.q[j] & 15) - 8);
        y[j + 16] = d * static_cast<float>((b.q[j] >> 4) - 8);
    }
}

// q4_k and q5_k: `fifth(i)` is the fifth bit of value i.
template <typename Block, typename FifthBit>
void unpack_with_minima(const Block& b, FifthBit fifth, float* y) {
    const float d = half(b.d), minimum = half(b.minimum);
    for (int run = 0; run < 8; ++run) {
        const ScaleAndMinimum s = scale_and_minimum(b.scales, run);
        const float scale = d * static_cast<float>(s.scale), below = minimum * static_cast<float>(s.minimum);
        for (int l = 0; l < 32; ++l) {
            const std::uint8_t byte = b.q[run / 2 * 32 + l];
            const int q = (run % 2 == 0 ? byte & 15 : byte >> 4) + 16 * fifth(32 * run + l);
            y[32 * run + l] = scale * static_cast<float>(q) - below;
        }
    }
}

void unpack(const Q4_K& b, float* y) {
    unpack_with_minima(b, [](int) { return 0; }, y);
}

void unpack(const Q5_K& b, float* y) {
    unpack_with_minima(b, [&](int i) { return (b.high[i % 32] >> (i / 32)) & 1; }, y);
}

void unpack(const Q6_K& b, float* y) {
    const float d = half(b.d);
    for (int i = 0; i < 256; ++i) {
        const int part = i / 128, quarter = i % 128 / 32, l = i % 32;
        const std::uint8_t byte = b.low[64 * part + l + 32 * (quarter & 1)];
        const int low = quarter < 2 ? byte & 15 : byte >> 4;
        const int high = (b.high[32 * part + l] >> (2 * quarter)) & 3;
        y[i] = d * static_cast<float>(b.scales[i / 16]) * static_cast<float>((low | (high << 4)) - 32);
    }
}

template <typename Block>
void unpack_all(const void* from, DType dtype, std::size_t count, float* to) {
    const auto elements = static_cast<std::size_t>(block_of(dtype).elements);
    for (std::size_t i = 0; i < count / elements; ++i) {
        Block block;
        std::memcpy(&block, static_cast<const std::byte*>(from) + i * sizeof(Block), sizeof(Block));
        unpack(block, to + i * elements);
    }
}

}  // namespace

void unpack_blocks(const void* from, DType dtype, std::size_t count, float* to) {
    (void)bytes_of(dtype, static_cast<std::int64_t>(count));  // throws where these are no whole blocks
    switch (dtype) {
        case DType::q8_0:
            return unpack_all<Q8_0>(from, dtype, count, to);
        case DType::q4_0:
            return unpack_all<Q4_0>(from, dtype, count, to);
        case DType::q4_k:
            return unpack_all<Q4_K>(from, dtype, count, to);
        case DType::q5_k:
            return unpack_all<Q5_K>(from, dtype, count, to);
        case DType::q6_k:
            return unpack_all<Q6_K>(from, dtype, count, to);
        default:
            T2I_CHECK(is_block_type(dtype), std::string(name_of(dtype)) + " is no block type");
    }
}

std::optional<std::size_t> first_non_finite_scale(const void* from, DType dtype, std::size_t blocks) {
    T2I_CHECK(is_block_type(dtype), std::string(name_of(dtype)) + " is no block type");
    const std::size_t size = block_of(dtype).bytes;
    const ScalePlaces places = scale_places(dtype);
    const auto is_bad = [](const std::byte* at) {
        std::uint16_t bits;
        std::memcpy(&bits, at, sizeof bits);
        return (bits & 0x7C00U) == 0x7C00U;
    };
    for (std::size_t i = 0; i < blocks; ++i) {
        const std::byte* block = static_cast<const std::byte*>(from) + i * size;
        if (is_bad(block + places.bytes[0]) || (places.count > 1 && is_bad(block + places.bytes[1]))) return i;
    }
    return std::nullopt;
}

}  // namespace t2i
