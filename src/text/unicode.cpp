#include "text/unicode.h"

#include <utf8proc.h>

#include <array>
#include <optional>

#include "core/check.h"
#include "t2i/error.h"

namespace t2i {
namespace {

// Length in bytes of the character at the front and the character itself; length 0: not UTF-8.
struct Character {
    utf8proc_int32_t code = 0;
    std::size_t bytes = 0;
};

Character first_character(std::string_view text) {
    Character c;
    const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                    static_cast<utf8proc_ssize_t>(text.size()), &c.code);
    if (n > 0) c.bytes = static_cast<std::size_t>(n);
    return c;
}

Character last_character(std::string_view text) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
    return first_character(text.substr(at));
}

// Python's str.isspace: general category Zs, or bidirectional class WS, B or S.
bool is_python_space(utf8proc_int32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

void append(std::string& to, utf8proc_int32_t code) {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const auto n = utf8proc_encode_char(code, bytes.data());
    to.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
}

// Python's and Unicode's condition Final_Sigma: a cased letter before (case-ignorable characters aside) and
// none after.
class SigmaContext {
  public:
    void see(utf8proc_int32_t c) {
        if (!is_ignorable(c)) after_cased_ = is_cased(c);
    }
    [[nodiscard]] bool is_final(std::string_view rest) const {
        if (!after_cased_) return false;
        while (!rest.empty()) {
            const Character c = first_character(rest);
            if (!is_ignorable(c.code)) return !is_cased(c.code);
            rest.remove_prefix(c.bytes);
        }
        return true;
    }

  private:
    static bool is_cased(utf8proc_int32_t c) {
        const auto category = utf8proc_category(c);
        return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
    }
    // Marks, format characters, modifiers, and the punctuation that stands inside words.
    static bool is_ignorable(utf8proc_int32_t c) {
        switch (utf8proc_category(c)) {
            case UTF8PROC_CATEGORY_MN:
            case UTF8PROC_CATEGORY_ME:
            case UTF8PROC_CATEGORY_CF:
            case UTF8PROC_CATEGORY_LM:
            case UTF8PROC_CATEGORY_SK:
                return true;
            default:
                break;
        }
        return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x387 || c == 0x2018 || c == 0x2019 || c == 0x2024 ||
               c == 0x2027;
    }
    bool after_cased_ = false;
};

// "is not UTF-8 (byte 17)".
std::optional<std::string> utf8_problem(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const Character c = first_character(text.substr(at));
        if (c.bytes == 0) return "is not UTF-8 (byte " + std::to_string(at) + ")";
        at += c.bytes;
    }
    return std::nullopt;
}

}  // namespace

void check_utf8(std::string_view text, std::string_view what) {
    if (const auto problem = utf8_problem(text)) throw Error(ErrorCode::input, std::string(what) + " " + *problem);
}

void check_utf8(std::string_view text, const Field& field) {
    if (const auto problem = utf8_problem(text)) throw Error(ErrorCode::input, *problem, field);
}

std::u16string utf16_of(std::string_view utf8) {
    std::u16string units;
    for (std::string_view rest = utf8; !rest.empty();) {
        const Character c = first_character(rest);
        T2I_CHECK(c.bytes > 0, "text that was never checked to be UTF-8");
        rest.remove_prefix(c.bytes);
        if (c.code < 0x10000) {
            units += static_cast<char16_t>(c.code);
        } else {
            units += static_cast<char16_t>(0xD800 + ((c.code - 0x10000) >> 10));
            units += static_cast<char16_t>(0xDC00 + ((c.code - 0x10000) & 0x3FF));
        }
    }
    return units;
}

std::string utf8_of(std::u16string_view units) {
    constexpr utf8proc_int32_t replacement = 0xFFFD;
    const auto is_first_half = [](char16_t u) { return u >= 0xD800 && u < 0xDC00; };
    const auto is_second_half = [](char16_t u) { return u >= 0xDC00 && u < 0xE000; };
    std::string text;
    for (std::size_t i = 0; i < units.size(); ++i) {
        utf8proc_int32_t code = units[i];
        if (is_first_half(units[i]) && i + 1 < units.size() && is_second_half(units[i + 1])) {
            code = 0x10000 + ((code - 0xD800) << 10) + (units[i + 1] - 0xDC00);
            ++i;
        } else if (is_first_half(units[i]) || is_second_half(units[i])) {
            code = replacement;
        }
        append(text, code);
    }
    return text;
}

std::u32string utf32_of(std::string_view utf8) {
    std::u32string characters;
    characters.reserve(utf8.size());
    while (!utf8.empty()) {
        const Character c = first_character(utf8);
        T2I_CHECK(c.bytes > 0, "text that was never checked to be UTF-8");
        utf8.remove_prefix(c.bytes);
        characters += static_cast<char32_t>(c.code);
    }
    return characters;
}

std::string utf8_of(std::u32string_view characters) {
    std::string text;
    text.reserve(characters.size());
    for (const char32_t c : characters) {
        const auto code = static_cast<utf8proc_int32_t>(c);
        append(text, utf8proc_codepoint_valid(code) ? code : 0xFFFD);
    }
    return text;
}

bool is_space(char32_t character) {
    return is_python_space(static_cast<utf8proc_int32_t>(character));
}

namespace {

template <typename Test>
std::string_view without_left(std::string_view utf8, Test is_left_out) {
    while (!utf8.empty()) {
        const Character c = first_character(utf8);
        if (c.bytes == 0 || !is_left_out(c.code)) break;
        utf8.remove_prefix(c.bytes);
    }
    return utf8;
}

template <typename Test>
std::string_view without_right(std::string_view utf8, Test is_left_out) {
    while (!utf8.empty()) {
        const Character c = last_character(utf8);
        if (c.bytes == 0 || !is_left_out(c.code)) break;
        utf8.remove_suffix(c.bytes);
    }
    return utf8;
}

bool is_white_space(utf8proc_int32_t c) {
    return is_python_space(c) && !(c >= 0x1C && c <= 0x1F);
}

// Alphabetic, mark, decimal number, connector or joiner (UTS 18, annex C). Of what is alphabetic without being a letter, a letter
// number or a mark there are circled and squared Latin letters alone.
bool is_word(utf8proc_int32_t c) {
    switch (utf8proc_category(c)) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO:
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_MC:
        case UTF8PROC_CATEGORY_ME:
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_PC:
            return true;
        default:
            return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                   (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
    }
}

}  // namespace

std::string_view strip_left(std::string_view utf8) {
    return without_left(utf8, is_python_space);
}

std::string_view strip_right(std::string_view utf8) {
    return without_right(utf8, is_python_space);
}

std::string_view strip_white_space_left(std::string_view utf8) {
    return without_left(utf8, is_white_space);
}

std::string_view strip_white_space_right(std::string_view utf8) {
    return without_right(utf8, is_white_space);
}

bool starts_with_word(std::string_view utf8) {
    return !utf8.empty() && is_word(first_character(utf8).code);
}

bool ends_with_word(std::string_view utf8) {
    return !utf8.empty() && is_word(last_character(utf8).code);
}

std::size_t next_character(std::string_view utf8, std::size_t at) {
    do ++at;
    while (at < utf8.size() && is_continuation(utf8[at]));
    return at;
}

std::vector<std::string_view> grapheme_clusters(std::string_view utf8) {
    std::vector<std::string_view> clusters;
    std::size_t begin = 0, at = 0;
    utf8proc_int32_t before = 0, state = 0;
    while (at < utf8.size()) {
        const Character c = first_character(utf8.substr(at));
        T2I_CHECK(c.bytes > 0, "text that was never checked to be UTF-8");
        if (at > 0 && utf8proc_grapheme_break_stateful(before, c.code, &state)) {
            clusters.push_back(utf8.substr(begin, at - begin));
            begin = at;
        }
        before = c.code;
        at += c.bytes;
    }
    if (begin < utf8.size()) clusters.push_back(utf8.substr(begin));
    return clusters;
}

std::string lower(std::string_view utf8) {
    constexpr utf8proc_int32_t dotted_capital_i = 0x130, combining_dot = 0x307, capital_sigma = 0x3A3, final_sigma = 0x3C2;
    std::string text;
    text.reserve(utf8.size());
    SigmaContext context;
    for (std::string_view rest = utf8; !rest.empty();) {
        const Character c = first_character(rest);
        T2I_CHECK(c.bytes > 0, "text that was never checked to be UTF-8");
        rest.remove_prefix(c.bytes);
        if (c.code == dotted_capital_i) {  // the one character whose lower case is two
            append(text, 'i');
            append(text, combining_dot);
        } else if (c.code == capital_sigma && context.is_final(rest)) {
            append(text, final_sigma);
        } else {
            append(text, utf8proc_tolower(c.code));
        }
        context.see(c.code);
    }
    return text;
}

std::string lower_and_strip(std::string_view utf8) {
    const std::string text = lower(utf8);
    return std::string(strip_right(strip_left(text)));
}

}  // namespace t2i
