// Captions cleaned as diffusers' PixArt pipelines clean them (scripts/golden/captions.py).
#include <chrono>

#include "support/catch.h"
#include "support/fixture.h"
#include "text/clean_caption.h"
#include "text/fix_text.h"
#include "text/html_entities.h"
#include "text/html_text.h"
#include "text/python_regex.h"
#include "text/unicode.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

std::string cleaned(const std::string& caption) {
    return clean_caption(caption, Field{"prompt"});
}

std::string text_of(std::string_view html) {
    return utf8_of(html_text(utf32_of(html)));
}

std::string fixed(std::string_view text) {
    return utf8_of(fix_text(utf32_of(text)));
}

struct Pair {
    std::string from, to;
};

}  // namespace

TEST_CASE("captions: hundreds of tags, references, quotes, widths, links and sizes are cleaned as diffusers does") {
    const auto captions = read_manifest("captions").at("captions");
    REQUIRE(captions.size() > 400);
    std::size_t refused = 0;
    for (const auto& pair : captions) {
        const auto caption = pair[0].get<std::string>();
        INFO(pair.dump());
        if (pair[1].is_null()) {
            ++refused;
            CHECK_THROWS_AS(cleaned(caption), Error);
        } else {
            CHECK(cleaned(caption) == pair[1].get<std::string>());
        }
    }
    CHECK(refused < 10);
}

TEST_CASE("captions: one of each rule") {
    for (const auto& [from, to] :
         {Pair{"A <b>Red</b> Apple", "a red apple"}, Pair{"a red apple & a green pear", "a red apple a green pear"},
          Pair{"a dog (close-up), 4k, 1920x1080", "a dog close-up , 4k"}, Pair{"a+red%20apple", "a red apple"},
          Pair{"see https://example.com/a?b=1 now", "see ?b=1 now"}, Pair{"@anna's photo.jpg of a cat", "s of a cat"},
          Pair{"红苹果 apple", "apple"}, Pair{"“a cat” — ‘black’", "a cat\" - 'black"}, Pair{"<script>x</script>a cat", "a cat"},
          Pair{"caf&eacute; &#9731; &copy; 2020", "café ☃ 2020"}, Pair{"ＦＵＬＬ　ｗｉｄｔｈ", "full width"},
          Pair{"a_very_long_file_name", "a very long file name"}, Pair{"jc6640 jc6640vc 6640vc231 123456", ""},
          Pair{"free shipping, download, page 12", ""}, Pair{"\"\"\"SALE\"\"\"", "sale"}, Pair{"", ""}, Pair{"  \n ", ""}}) {
        INFO(from);
        CHECK(cleaned(from) == to);
    }
}

// What is left of ftfy: said in fix_text.h and in the help.
TEST_CASE("captions: text that was decoded by the wrong encoding stays as it is") {
    CHECK(fixed("schÃ¶n") == "schÃ¶n");
}

TEST_CASE("captions: fixes of a text") {
    for (const auto& [from, to] :
         {Pair{"ﬁne ﬃ ĳ", "fine ffi ij"}, Pair{"e\u0301", "é"}, Pair{"ｶﾞ ！", "ガ !"}, Pair{"a\r\nb\rc\u2028d", "a\nb\nc\nd"},
          Pair{"\xc2\x93 x \xc2\x94", "\" x \""}, Pair{"\x1b[31mred\x1b[0m", "red"}, Pair{"a\x07\ufeff\ufffc z", "a z"},
          Pair{"&lt;b&gt; &EACUTE; &SZLIG; &foo; &amp", "<b> É SS &foo; &amp"}, Pair{"＆lt;", "<"},
          Pair{"a < b &eacute;", "a < b &eacute;"}, Pair{"<\n&eacute;", "<\n&eacute;"}, Pair{"&eacute;\n<", "é\n<"}}) {
        INFO(from);
        CHECK(fixed(from) == to);
    }
    CHECK(fix_text(std::u32string{0xD83D, 0xDE00, 0xDE00}) == std::u32string{0x1F600, 0xFFFD});
}

TEST_CASE("captions: the text of HTML, and of what looks like it") {
    for (const auto& [from, to] :
         {Pair{"a<br>b<p>c</p>", "abc"}, Pair{"<b> </b>\n<i>\t\n</i>x", " \n\nx"}, Pair{"<pre>  </pre>|", "  |"},
          Pair{"1 < 2 <3 a<", "1 < 2 <3 a<"}, Pair{"<a title='>'>x</a>", "x"}, Pair{"<a b", "<a b"},
          Pair{"<a b='x>y", "<a b='x>y"}, Pair{"x<!-- y -->z", "xz"}, Pair{"x<!-- y", "x<!-- y"},
          Pair{"<![CDATA[a<b]]>c", "a<bc"}, Pair{"<?php x ?>y", "y"}, Pair{"<!doctype html>y", "y"},
          Pair{"<script>a<b>c</script>d", "d"}, Pair{"x<style>y", "x"}, Pair{"<ruby>漢<rt>kan</rt></ruby>", "漢"},
          Pair{"</>a</ b>c", "ac"}, Pair{"&amp;&lt;&eacute &notit; &foo; &bar", "&<é &notit &foo &bar"},
          Pair{"&#65;&#x42;&#150;&#0;&#xD800;", "AB–\uFFFD\uFFFD"}}) {
        INFO(from);
        CHECK(text_of(from) == to);
    }
}

TEST_CASE("captions: Python's html.unescape") {
    for (const auto& [from, to] :
         {Pair{"&amp;amp; &amp &ampx &notit; &notin;", "&amp; & &x ¬it; ∉"}, Pair{"&#x80;&#1;&#xFFFF;&#1114112;", "€\uFFFD"},
          Pair{"&NotEqualTilde; & &; &#; &#x;", "≂̸ & &; &#; &#x;"}}) {
        INFO(from);
        CHECK(utf8_of(html_unescape(utf32_of(from))) == to);
    }
}

TEST_CASE("captions: HTML that diffusers' parser rejects is refused in one line") {
    for (const char* caption : {"a <![x]> b", "<![>"}) {
        INFO(caption);
        const std::string message = message_of(ErrorCode::input, [&] { static_cast<void>(cleaned(caption)); });
        CHECK(contains(message, "prompt: holds \"<![\""));
    }
}

TEST_CASE("captions: Python's classes of characters") {
    const PythonRegex words(R"(\b\w+\b)"), spaces(R"(\s)"), digits(R"(\d)");
    CHECK(utf8_of(words.sub(utf32_of("été-снег_1 ① 猫"), U"x")) == "x-x x x");
    CHECK(spaces.sub(U"a\u00a0b\x1c\u3000c\u180e\u200b", U"-") == U"a-b--c\u180e\u200b");
    CHECK(digits.sub(U"1٣१①²", U"-") == U"---①²");
    CHECK(utf8_of(words.sub(utf32_of("e\u0301a"), U"x")) == "x\u0301x");  // a mark is no part of a word
}

TEST_CASE("captions: what is made to take long is not slow") {
    std::string nested, dotted, spaced, codes, open, attributes = "<a";
    for (int i = 0; i < 1000; ++i) {
        nested += "<b>";
        dotted += "a.";
        spaced += "  ";
        codes += "a1";
        open += "<a b='";
        attributes += " a='1' b=\"2\"";
    }
    CHECK(cleaned(attributes + ">x</a>") == "x");
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& caption : {nested, dotted, spaced + "x", codes + "é", open, nested + dotted + spaced})
        static_cast<void>(cleaned(caption));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

}  // namespace t2i::test
