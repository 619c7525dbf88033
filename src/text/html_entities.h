// Character references of HTML: &eacute; &#233; &#xE9;
#pragma once

#include <string>
#include <string_view>

namespace t2i {

struct HtmlEntity {
    std::u32string characters;     // one or two
    bool needs_semicolon = false;  // "&abreve" alone is text, "&eacute" is not
};
// By its name without ampersand and semicolon; null: HTML5 has none of that name. Lives as long as the program. From any thread.
[[nodiscard]] const HtmlEntity* find_html_entity(std::u32string_view name);

// The character that Windows-1252 has at a code of C1 controls (0x80 to 0x9F), which it itself is where that has none.
[[nodiscard]] char32_t of_windows_1252(char32_t code);

// The number of a character reference's digits; what is beyond U+10FFFF is 0x110000. digits: of the base, at least one.
[[nodiscard]] char32_t reference_number(std::u32string_view digits, unsigned base);

// Python's html.unescape.
[[nodiscard]] std::u32string html_unescape(std::u32string_view text);

}  // namespace t2i
