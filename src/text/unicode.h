// UTF-8 and the few Unicode rules that prompts go through.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "t2i/error.h"

namespace t2i {

// Throws Error{input}: "<what> is not UTF-8 (byte 17)".
void check_utf8(std::string_view text, std::string_view what);
// Throws Error{input} about the field: "is not UTF-8 (byte 17)".
void check_utf8(std::string_view text, const Field& field);

// The UTF-16 code units of a text, which must be UTF-8.
[[nodiscard]] std::u16string utf16_of(std::string_view utf8);
// The reverse; half of a surrogate pair becomes U+FFFD.
[[nodiscard]] std::string utf8_of(std::u16string_view units);

// The code points of a text, which must be UTF-8.
[[nodiscard]] std::u32string utf32_of(std::string_view utf8);
// The reverse; what is no character (a surrogate, beyond U+10FFFF) becomes U+FFFD.
[[nodiscard]] std::string utf8_of(std::u32string_view characters);

// What Python's str.lstrip, str.rstrip and str.strip take away: every character that str.isspace knows.
[[nodiscard]] std::string_view strip_left(std::string_view utf8);
[[nodiscard]] std::string_view strip_right(std::string_view utf8);

// Python's str.isspace of one character.
[[nodiscard]] bool is_space(char32_t character);

// Unicode's White_Space, which Rust's char::is_whitespace and \s of its regular expressions know: as above, less U+001C to
// U+001F.
[[nodiscard]] std::string_view strip_white_space_left(std::string_view utf8);
[[nodiscard]] std::string_view strip_white_space_right(std::string_view utf8);

// \w of Rust's regular expressions: letters, marks, digits, joiners. Whether `utf8` begins or ends with one.
[[nodiscard]] bool starts_with_word(std::string_view utf8);
[[nodiscard]] bool ends_with_word(std::string_view utf8);

// Where the character after the one at byte `at` begins. `utf8` must be valid, `at` below its size.
[[nodiscard]] std::size_t next_character(std::string_view utf8, std::size_t at);
// A byte inside a character of UTF-8.
[[nodiscard]] constexpr bool is_continuation(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

// The extended grapheme clusters of a text, which must be valid and outlive them.
[[nodiscard]] std::vector<std::string_view> grapheme_clusters(std::string_view utf8);

// Python's str.lower. `utf8` must be valid.
[[nodiscard]] std::string lower(std::string_view utf8);

// Python's text.lower().strip(), what diffusers' PixArt pipelines do to prompts. `utf8` must be valid.
[[nodiscard]] std::string lower_and_strip(std::string_view utf8);

}  // namespace t2i
