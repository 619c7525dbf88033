#include "text/html_entities.h"

#include <array>
#include <charconv>
#include <unordered_map>

#include "core/check.h"
#include "text/python_regex.h"

namespace t2i {

namespace {

constexpr std::string_view all_entities =
#include "text/html_entities.inc"
    ;

constexpr char32_t beyond_unicode = 0x110000, replacement = 0xFFFD;

using Entities = std::unordered_map<std::u32string, HtmlEntity>;

// "C6" or "5D+20D2"
std::u32string characters_of(std::string_view codes) {
    std::u32string characters;
    const char* const end = codes.data() + codes.size();
    for (const char* at = codes.data(); at < end; ++at) {
        std::uint32_t code = 0;
        at = std::from_chars(at, end, code, 16).ptr;
        characters += static_cast<char32_t>(code);
    }
    return characters;
}

Entities read_entities() {
    Entities entities;
    for (std::size_t at = 0; at < all_entities.size();) {
        const auto mark = all_entities.find_first_of(":!", at), end = all_entities.find(' ', mark);
        T2I_CHECK(end != std::string_view::npos, "the table of HTML's references");
        const std::string_view name = all_entities.substr(at, mark - at);
        entities.emplace(std::u32string(name.begin(), name.end()),
                         HtmlEntity{.characters = characters_of(all_entities.substr(mark + 1, end - mark - 1)),
                                    .needs_semicolon = all_entities[mark] == ':'});
        at = end + 1;
    }
    return entities;
}

// Numbers of references that stand for nothing.
bool is_dropped(char32_t number) {
    return (number >= 0x1 && number <= 0x8) || number == 0xB || (number >= 0xE && number <= 0x1F) || number == 0x7F ||
           (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
}

std::u32string numbered(char32_t number) {
    if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number >= beyond_unicode) return {replacement};
    if (number >= 0x80 && number <= 0x9F) return {of_windows_1252(number)};
    if (is_dropped(number)) return {};
    return {number};
}

// Of a name that may run on: of "notit;" the longest beginning that HTML knows without a semicolon, and the rest of it.
std::u32string named(std::u32string_view name) {
    const bool closed = name.ends_with(U';');
    if (const HtmlEntity* whole = find_html_entity(closed ? name.substr(0, name.size() - 1) : name);
        whole && (closed || !whole->needs_semicolon))
        return whole->characters;
    for (std::size_t length = name.size() - 1; length > 1; --length)
        if (const HtmlEntity* known = find_html_entity(name.substr(0, length)); known && !known->needs_semicolon)
            return known->characters + std::u32string(name.substr(length));
    return U"&" + std::u32string(name);
}

}  // namespace

const HtmlEntity* find_html_entity(std::u32string_view name) {
    static const Entities entities = read_entities();
    const auto found = entities.find(std::u32string(name));
    return found == entities.end() ? nullptr : &found->second;
}

char32_t of_windows_1252(char32_t code) {
    static constexpr std::array<char32_t, 32> characters{
        0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x8D, 0x17D, 0x8F,
        0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153, 0x9D, 0x17E, 0x178};
    return code >= 0x80 && code <= 0x9F ? characters.at(code - 0x80) : code;
}

char32_t reference_number(std::u32string_view digits, unsigned base) {
    char32_t number = 0;
    for (const char32_t c : digits) {
        const unsigned value = c <= U'9' ? c - U'0' : (c | 32) - U'a' + 10;
        number = number * base + value;
        if (number >= beyond_unicode) return beyond_unicode;
    }
    return number;
}

std::u32string html_unescape(std::u32string_view text) {
    if (text.find(U'&') == std::u32string_view::npos) return std::u32string(text);
    static const PythonRegex reference(R"(&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|([^\t\n\f <&#;]{1,32};?)))");
    std::u32string out;
    std::size_t at = 0;
    while (const auto found = reference.search(text, at)) {
        const auto& groups = *found;
        const auto group = [&](std::size_t i) { return i < groups.size() ? groups[i].of(text) : std::u32string_view(); };
        out += text.substr(at, groups[0].begin - at);
        if (const auto digits = group(1); !digits.empty()) out += numbered(reference_number(digits, 10));
        else if (const auto hex = group(2); !hex.empty()) out += numbered(reference_number(hex, 16));
        else out += named(group(3));
        at = groups[0].end;
    }
    return out += text.substr(at);
}

}  // namespace t2i
