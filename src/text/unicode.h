// UTF-8 and the few Unicode rules that prompts go through.
#pragma once

#include <string>
#include <string_view>

#include "t2i/error.h"

namespace t2i {

// Throws Error{input}: "<what> is not UTF-8 (byte 17)".
void check_utf8(std::string_view text, std::string_view what);
// Throws Error{input} about the field: "is not UTF-8 (byte 17)".
void check_utf8(std::string_view text, const Field& field);
[[nodiscard]] bool is_utf8(std::string_view text);

// The UTF-16 code units of a text, which must be UTF-8.
[[nodiscard]] std::u16string utf16_of(std::string_view utf8);
// The reverse; half of a surrogate pair becomes U+FFFD.
[[nodiscard]] std::string utf8_of(std::u16string_view units);

// What Python's str.lstrip, str.rstrip and str.strip take away: every character that str.isspace knows.
[[nodiscard]] std::string_view strip_left(std::string_view utf8);
[[nodiscard]] std::string_view strip_right(std::string_view utf8);

// Python's str.lower. `utf8` must be valid.
[[nodiscard]] std::string lower(std::string_view utf8);

// Python's text.lower().strip(), what diffusers' PixArt pipelines do to prompts. `utf8` must be valid.
[[nodiscard]] std::string lower_and_strip(std::string_view utf8);

}  // namespace t2i
