#include "text/fix_text.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <unordered_map>

#include "text/html_entities.h"
#include "text/python_regex.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using View = std::u32string_view;

constexpr std::size_t longest_segment = 1'000'000;

// By utf8proc, of text without surrogates.
std::u32string normalized(View text, utf8proc_option_t options) {
    const std::string utf8 = utf8_of(text);
    utf8proc_uint8_t* result = nullptr;
    const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()),
                                     static_cast<utf8proc_ssize_t>(utf8.size()), &result, options);
    if (length < 0) throw std::bad_alloc();  // nothing else can be wrong with UTF-8
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
    return utf32_of({reinterpret_cast<const char*>(result), static_cast<std::size_t>(length)});
}

// Python's str.upper of what HTML's references in small letters stand for.
std::u32string upper(View text) {
    static const std::unordered_map<char32_t, View> longer{{U'ß', U"SS"},  {U'ŉ', U"ʼN"}, {U'ﬀ', U"FF"},
                                                           {U'ﬁ', U"FI"},  {U'ﬂ', U"FL"}, {U'ﬃ', U"FFI"},
                                                           {U'ﬄ', U"FFL"}, {U'ﬅ', U"ST"}, {U'ﬆ', U"ST"}};
    std::u32string out;
    for (const char32_t c : text)
        if (const auto known = longer.find(c); known != longer.end()) out += known->second;
        else out += static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
    return out;
}

// One reference with its ampersand and semicolon. In capitals ftfy knows those that HTML itself does not read otherwise.
std::u32string unescaped(View reference) {
    const View name = reference.substr(1, reference.size() - 2);
    if (name.starts_with(U'#')) {
        const std::u32string plain = html_unescape(reference);
        return plain.find(U';') == View::npos ? plain : std::u32string(reference);
    }
    if (const HtmlEntity* known = find_html_entity(name)) return known->characters;
    const std::u32string small = utf32_of(lower(utf8_of(name)));
    const bool is_capital = upper(small) == name;
    const HtmlEntity* known = is_capital ? find_html_entity(small) : nullptr;
    return known && html_unescape(reference) == reference ? upper(known->characters) : std::u32string(reference);
}

std::u32string unescape(View text) {
    static const PythonRegex references("&#?[0-9A-Za-z]{1,24};");
    std::u32string out;
    std::size_t at = 0;
    while (const auto found = references.search(text, at)) {
        const auto whole = found->front();
        out += text.substr(at, whole.begin - at);
        out += unescaped(whole.of(text));
        at = whole.end;
    }
    return out += text.substr(at);
}

// What Latin ligatures and digraphs are made of; empty: it is none.
View letters_of(char32_t c) {
    static const std::unordered_map<char32_t, View> ligatures{
        {U'Ĳ', U"IJ"}, {U'ĳ', U"ij"}, {U'ŉ', U"ʼn"},  {U'Ǳ', U"DZ"},  {U'ǲ', U"Dz"}, {U'ǳ', U"dz"}, {U'Ǆ', U"DŽ"}, {U'ǅ', U"Dž"},
        {U'ǆ', U"dž"}, {U'Ǉ', U"LJ"}, {U'ǈ', U"Lj"},  {U'ǉ', U"lj"},  {U'Ǌ', U"NJ"}, {U'ǋ', U"Nj"}, {U'ǌ', U"nj"}, {U'ﬀ', U"ff"},
        {U'ﬁ', U"fi"}, {U'ﬂ', U"fl"}, {U'ﬃ', U"ffi"}, {U'ﬄ', U"ffl"}, {U'ﬅ', U"ſt"}, {U'ﬆ', U"st"}};
    const auto known = ligatures.find(c);
    return known == ligatures.end() ? View() : known->second;
}

// Character by character: C1 controls as Windows-1252, ligatures apart, full and half widths, straight quotation marks.
std::u32string with_plain_characters(View text) {
    std::u32string apart, out;
    for (const char32_t c : text)
        if (const View letters = letters_of(of_windows_1252(c)); !letters.empty()) apart += letters;
        else apart += of_windows_1252(c);
    for (const char32_t c : apart) {
        if (c == 0x3000) out += U' ';
        else if (c >= 0xFF01 && c <= 0xFFEF)
            out += normalized({&c, 1}, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT));
        else if (c >= 0x201C && c <= 0x201F) out += U'"';
        else if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) out += U'\'';
        else out += c;
    }
    return out;
}

std::u32string with_line_feeds(View text) {
    std::u32string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char32_t c = text[i];
        const bool breaks = c == U'\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
        if (c == U'\r' && i + 1 < text.size() && text[i + 1] == U'\n') continue;
        out += breaks ? U'\n' : c;
    }
    return out;
}

std::u32string without_surrogates(View text) {
    const auto is_first = [](char32_t c) { return c >= 0xD800 && c < 0xDC00; };
    const auto is_second = [](char32_t c) { return c >= 0xDC00 && c < 0xE000; };
    std::u32string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char32_t c = text[i];
        if (is_first(c) && i + 1 < text.size() && is_second(text[i + 1]))
            out += 0x10000 + ((c - 0xD800) << 10) + (text[++i] - 0xDC00);
        else out += is_first(c) || is_second(c) ? char32_t{0xFFFD} : c;
    }
    return out;
}

bool is_control(char32_t c) {
    return c < 0x09 || c == 0x0B || (c >= 0x0E && c < 0x20) || c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFC);
}

// fix_and_explain(): all fixes, until nothing changes.
std::u32string fix_segment(View segment, bool unescapes) {
    static const PythonRegex colours(R"(\x{1b}\[((?:\d|;)*)([a-zA-Z]))");
    std::u32string text(segment);
    while (true) {
        std::u32string fixed = text;
        for (bool goes_on = unescapes; goes_on;) {  // "&amp;amp;amp;": level by level, without the other fixes between
            std::u32string next = unescape(fixed);
            goes_on = next != fixed;
            fixed = std::move(next);
        }
        fixed = without_surrogates(with_line_feeds(with_plain_characters(fixed)));
        fixed = colours.sub(fixed, U"");
        std::erase_if(fixed, is_control);
        fixed = normalized(fixed, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        if (fixed == text) return text;
        text = std::move(fixed);
    }
}

}  // namespace

std::u32string fix_text(View text) {
    std::u32string out;
    bool unescapes = true;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t feed = text.find(U'\n', at);
        const std::size_t length = std::min(feed == View::npos ? text.size() - at : feed + 1 - at, longest_segment);
        const View segment = text.substr(at, length);
        if (segment.find(U'<') != View::npos) unescapes = false;  // from here on: as ftfy, not for this line alone
        out += fix_segment(segment, unescapes);
        at += length;
    }
    return out;
}

}  // namespace t2i
