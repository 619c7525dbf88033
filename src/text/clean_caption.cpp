#include "text/clean_caption.h"

#include <array>
#include <span>

#include "text/fix_text.h"
#include "text/html_entities.h"
#include "text/html_text.h"
#include "text/python_regex.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using View = std::u32string_view;

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char small = static_cast<char>(c | 32);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// Bytes from `at` on that begin a character, and whether they are all of one. What is no character is replaced in such pieces,
// as Unicode recommends and Python does.
struct Piece {
    std::size_t bytes;
    bool is_character;
};
Piece first_piece(std::string_view bytes) {
    const auto byte = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U; };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {1, true};
    const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                               : lead >= 0xE0 && lead <= 0xEF ? 3
                               : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                              : 0;
    if (length == 0) return {1, false};
    const unsigned low = lead == 0xE0   ? 0xA0
                         : lead == 0xF0 ? 0x90
                                        : 0x80,
                   high = lead == 0xED   ? 0x9F
                          : lead == 0xF4 ? 0x8F
                                         : 0xBF;
    if (byte(1) < low || byte(1) > high) return {1, false};
    for (std::size_t i = 2; i < length; ++i)
        if (byte(i) < 0x80 || byte(i) > 0xBF) return {i, false};
    return {length, true};
}

// urllib.parse.unquote_plus: "a+red%20apple". What stands in UTF-8 between percent codes ends their run.
std::string unquoted(std::string_view text) {
    constexpr const char* replacement = "\xEF\xBF\xBD";
    std::string out, run;
    const auto end_run = [&] {
        for (std::string_view rest = run; !rest.empty();) {
            const Piece piece = first_piece(rest);
            out += piece.is_character ? rest.substr(0, piece.bytes) : std::string_view(replacement);
            rest.remove_prefix(piece.bytes);
        }
        run.clear();
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool is_code = c == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
        if (is_code) {
            run += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else if (static_cast<unsigned char>(c) < 0x80) {
            run += c == '+' ? ' ' : c;
        } else {
            end_run();
            out += c;
        }
    }
    end_run();
    return out;
}

struct Rule {
    PythonRegex pattern;
    View with;
    bool keeps_group = false;
};

std::u32string obey(std::span<const Rule> rules, std::u32string text) {
    for (const Rule& rule : rules)
        text = rule.keeps_group ? rule.pattern.sub_group(text, rule.with) : rule.pattern.sub(text, rule.with);
    return text;
}

// Patterns are diffusers' own, but none looks at the same characters again and again: where one begins with characters that may
// repeat, its first match begins at the first of them anyhow, so "(?<!…)" keeps it from being tried at each.

std::u32string without_links(View text) {
    // The last alternative is a name that is none: it cannot be one from further on either, but a scheme may begin there.
    const auto links = [](const std::string& scheme) {
        return PythonRegex("\\b(?:" + scheme +
                           R"(:(?:\/{1,3}|[a-zA-Z0-9%])|)"
                           R"([a-zA-Z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b\/?(?!@)|)"
                           "[a-zA-Z0-9.\\-](?:(?!" +
                           scheme + ":)[a-zA-Z0-9.\\-])*+(*SKIP)(*FAIL))");
    };
    static const std::array rules{Rule{PythonRegex("<person>"), U"person"}, Rule{links("https?"), U""}, Rule{links("www"), U""}};
    return obey(rules, std::u32string(text));
}

std::u32string with_plain_signs(std::u32string text) {
    static const std::array rules{
        Rule{PythonRegex(R"(@[\w\d]+\b)"), U""},  // @nickname
        // Strokes, phonetic extensions, enclosed and compatibility forms, hexagrams and ideographs of Chinese and Japanese.
        Rule{PythonRegex(R"([\x{31c0}-\x{31ef}\x{31f0}-\x{31ff}\x{3200}-\x{4dbf}\x{4dc0}-\x{4dff}\x{4e00}-\x{9fff}]+)"), U""},
        Rule{PythonRegex(
                 R"([\x{2d}\x{58a}\x{5be}\x{1400}\x{1806}\x{2010}-\x{2015}\x{2e17}\x{2e1a}\x{2e3a}\x{2e3b}\x{2e40}\x{301c})"
                 R"(\x{3030}\x{30a0}\x{fe31}\x{fe32}\x{fe58}\x{fe63}\x{ff0d}]+)"),
             U"-"},
        Rule{PythonRegex("[`´«»“”¨]"), U"\""}, Rule{PythonRegex("[‘’]"), U"'"}, Rule{PythonRegex("&quot;?"), U""},
        Rule{PythonRegex("&amp"), U""}, Rule{PythonRegex(R"(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})"), U" "},  // addresses
        Rule{PythonRegex(R"(\d:\d\d\s+$)"), U""},                                                          // numbers of articles
        Rule{PythonRegex(R"(\\n)"), U" "}, Rule{PythonRegex(R"(#\d{1,3}\b)"), U""}, Rule{PythonRegex(R"(#\d{5,}\b)"), U""},
        Rule{PythonRegex(R"(\b\d{6,}\b)"), U""},
        Rule{PythonRegex(R"((?<!\S)\S+\.(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4))"), U""},  // names of files
        Rule{PythonRegex(R"(["']{2,})"), U"\""}, Rule{PythonRegex(R"([\.]{2,})"), U" "},
        Rule{PythonRegex(R"([#®•©™&@·º½¾¿¡§~\)\(\]\[\}\{\|\\\/\*]{1,})"), U" "}, Rule{PythonRegex(R"((?<!\s)\s+\.\s+)"), U" "}};
    return obey(rules, std::move(text));
}

// this-is-my-cute-cat
std::u32string with_words_apart(std::u32string text) {
    constexpr View joints = U"-_";
    std::size_t count = 0;
    for (const char32_t c : text) count += joints.find(c) != View::npos ? 1 : 0;
    if (count > 3)
        for (char32_t& c : text)
            if (joints.find(c) != View::npos) c = U' ';
    return text;
}

std::u32string without_codes(std::u32string text) {
    static const std::array rules{Rule{PythonRegex(R"(\b[a-zA-Z]{1,3}\d{3,15}\b)"), U""},  // jc6640
                                  Rule{PythonRegex(R"(\b[a-zA-Z]+\d+[a-zA-Z]+\b)"), U""},  // jc6640vc
                                  Rule{PythonRegex(R"(\b\d+[a-zA-Z]+\d+\b)"), U""},        // 6640vc231
                                  Rule{PythonRegex(R"((worldwide\s+)?(free\s+)?shipping)"), U""},
                                  Rule{PythonRegex(R"((free\s)?download(\sfree)?)"), U""},
                                  Rule{PythonRegex(R"(\bclick\b\s(?:for|on)\s\w+)"), U""},
                                  Rule{PythonRegex(R"(\b(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)(\simage[s]?)?)"), U""},
                                  Rule{PythonRegex(R"(\bpage\s+\d+\b)"), U""},
                                  Rule{PythonRegex(R"(\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b)"), U" "},  // j2d1a2a
                                  Rule{PythonRegex(R"(\b\d+\.?\d*[xх×]\d+\.?\d*\b)"), U""},                  // 1920x1080
                                  Rule{PythonRegex(R"(\b\s+\:\s+)"), U": "},
                                  Rule{PythonRegex(R"((\D[,\./])\b)"), U" ", true},
                                  Rule{PythonRegex(R"(\s+)"), U" "},
                                  Rule{PythonRegex(R"(^["']([\x{0}-\x{10ffff}]+)["']$)"), U"", true},
                                  Rule{PythonRegex(R"(^['\_,\-\:;])"), U""},
                                  Rule{PythonRegex(R"(['\_,\-\:\-\+]$)"), U""},
                                  Rule{PythonRegex(R"(^\.\S+$)"), U""}};
    return obey(rules, std::move(text));
}

std::string cleaned_once(std::string_view utf8) {
    std::u32string text = html_text(without_links(utf32_of(lower_and_strip(unquoted(utf8)))));
    text = fix_text(with_words_apart(with_plain_signs(std::move(text))));
    const std::string plain = utf8_of(without_codes(html_unescape(html_unescape(text))));
    return std::string(strip_right(strip_left(plain)));
}

}  // namespace

std::string clean_caption(std::string_view utf8, const Field& field) {
    try {
        return cleaned_once(cleaned_once(utf8));
    } catch (const Error& error) {
        throw Error(error.code(), error.message(), field);
    }
}

}  // namespace t2i
