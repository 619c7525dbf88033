#include "core/escape.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace t2i {

namespace {

// The character at the front (Unicode 15, table 3-7); bytes 0: not UTF-8.
struct Character {
    std::uint32_t code = 0;
    std::size_t bytes = 0;
};

Character first_character(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
    std::uint32_t code = lead & (0xFFU >> (bytes + 1));
    for (std::size_t i = 1; i < bytes; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return {};
        code = code << 6U | (byte(i) & 0x3FU);
    }
    const bool is_overlong = code < (bytes == 4 ? 0x10000U : bytes == 3 ? 0x800U : 0x80U);
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return is_overlong || is_surrogate || code > 0x10FFFF ? Character{} : Character{code, bytes};
}

// What a terminal obeys: C0, DEL, C1; line and paragraph separators; embeddings, overrides and isolates of direction.
bool is_obeyed(std::uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

std::string written_out(const char* format, std::uint32_t value) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(value));
    return text.data();
}

}  // namespace

std::string escaped(std::string_view text, Lines lines) {
    std::string shown;
    shown.reserve(text.size());
    while (!text.empty()) {
        const Character c = first_character(text);
        const std::size_t bytes = c.bytes == 0 ? 1 : c.bytes;
        const bool breaks = c.code == '\n' || c.code == '\t';
        if (c.bytes == 0) shown += written_out("\\x%02x", static_cast<unsigned char>(text.front()));
        else if (!is_obeyed(c.code) || (breaks && lines == Lines::many)) shown += text.substr(0, bytes);
        else if (breaks || c.code == '\r') shown += c.code == '\n' ? "\\n" : c.code == '\t' ? "\\t" : "\\r";
        else shown += written_out(c.code < 0x80 ? "\\x%02x" : "\\u%04x", c.code);
        text.remove_prefix(bytes);
    }
    return shown;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const Character c = first_character(text);
        if (c.bytes == 0) return false;
        text.remove_prefix(c.bytes);
    }
    return true;
}

std::string escaped_json(std::string_view json) {
    std::string shown;
    shown.reserve(json.size());
    while (!json.empty()) {
        const Character c = first_character(json);
        const std::size_t bytes = c.bytes == 0 ? 1 : c.bytes;
        // Outside of strings JSON has none of these.
        if (c.code >= 0x7F && is_obeyed(c.code)) shown += written_out("\\u%04x", c.code);
        else shown += json.substr(0, bytes);
        json.remove_prefix(bytes);
    }
    return shown;
}

}  // namespace t2i
