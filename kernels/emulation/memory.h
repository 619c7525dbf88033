// Bytes that nobody may write, around everything that kernels may.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/emulation/sanitizer.h"

namespace t2i::emulation {

// Redzones hold a NaN, in f32 and in bf16, so that what is read there shows in the result. There are 127 of them, so that one
// which is read here and written there shows as well.
constexpr std::uint16_t redzone_pattern(std::size_t id) {
    return static_cast<std::uint16_t>(0x7F81 + id % 127);
}
constexpr std::uint16_t fill_pattern(std::uint8_t byte) {
    return static_cast<std::uint16_t>(byte * 0x0101);
}

// `pattern` is that of two bytes at an even address.
T2I_UNCHECKED inline std::uint8_t byte_at(const volatile std::uint8_t* address, std::uint16_t pattern) {
    return static_cast<std::uint8_t>(reinterpret_cast<std::uintptr_t>(address) % 2 == 0 ? pattern : pattern >> 8);
}
T2I_UNCHECKED inline void paint(void* memory, std::size_t bytes, std::uint16_t pattern) {
    auto* to = static_cast<volatile std::uint8_t*>(memory);
    for (std::size_t i = 0; i < bytes; ++i) to[i] = byte_at(to + i, pattern);
}
T2I_UNCHECKED inline bool is_painted(const void* memory, std::size_t bytes, std::uint16_t pattern) {
    const auto* from = static_cast<const volatile std::uint8_t*>(memory);
    for (std::size_t i = 0; i < bytes; ++i)
        if (from[i] != byte_at(from + i, pattern)) return false;
    return true;
}

// What is wrong around the allocated memory of the GPU, one line; and as it is found only once, it is made good.
[[nodiscard]] std::optional<std::string> damage();

}  // namespace t2i::emulation
