#include "text/base64.h"

#include <algorithm>
#include <cstdint>

namespace t2i {

namespace {

int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < std::min<std::size_t>(text.size(), 2) && text[text.size() - 1 - padding] == '=') ++padding;
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int digit = i + padding >= text.size() ? 0 : digit_of(text[i]);
        if (digit < 0) return std::nullopt;
        bits = (bits << 6) | static_cast<std::uint32_t>(digit);
        if (i % 4 != 3) continue;
        for (int shift = 16; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>((bits >> shift) & 0xFFU));
        bits = 0;
    }
    // Bits of the last digit that are no part of a byte must be zero.
    if (padding > 0 && std::ranges::any_of(bytes.substr(bytes.size() - padding), [](char c) { return c != 0; }))
        return std::nullopt;
    bytes.resize(bytes.size() - padding);
    return bytes;
}

}  // namespace t2i
