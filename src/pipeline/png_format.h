// What writing and reading PNG files share.
#pragma once

#include <array>
#include <cstdint>

namespace t2i {

// The first bytes of every PNG (PNG specification, 5.2).
constexpr std::array<std::uint8_t, 8> png_signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

}  // namespace t2i
