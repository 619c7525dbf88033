// Text from files, as a terminal or a log may have it.
#include <string>

#include "core/escape.h"
#include "support/catch.h"

namespace t2i::test {

using namespace std::string_literals;

TEST_CASE("escape: what a terminal obeys is written out, everything else stays") {
    CHECK(escaped("a red apple, \\(twemoji\\), 红苹果, é, 👍🏽") == "a red apple, \\(twemoji\\), 红苹果, é, 👍🏽");
    CHECK(escaped("\x1b[2J\x07\x7f\0end"s) == "\\x1b[2J\\x07\\x7f\\x00end");
    CHECK(escaped("a\tb\r\nc") == "a\\tb\\r\\nc");
    CHECK(escaped("a\tb\r\nc", Lines::many) == "a\tb\\r\nc");
    CHECK(escaped("\xc2\x9b"
                  "31m") == "\\u009b31m");  // CSI in one character
    CHECK(escaped("gnp.\xe2\x80\xae"
                  "exe\xe2\x81\xa6") == "gnp.\\u202eexe\\u2066");  // direction turned around
    CHECK(escaped("a\xe2\x80\xa8z") == "a\\u2028z");
    const std::string once = escaped("\x1b]0;x\x07");
    CHECK(escaped(once) == once);
}

TEST_CASE("escape: JSON stays the same JSON, without what a terminal obeys") {
    CHECK(escaped_json("{\"a\": \"\xC2\x9B\x7F\xE2\x80\xAE\u00e4 \\n红\"}\n") ==
          "{\"a\": \"\\u009b\\u007f\\u202e\u00e4 \\n红\"}\n");
}

TEST_CASE("escape: bytes that are no UTF-8 are shown one by one") {
    CHECK(escaped("\xff") == "\\xff");
    CHECK(escaped("a\xc3") == "a\\xc3");                           // cut
    CHECK(escaped("\xc3(") == "\\xc3(");                           // no continuation
    CHECK(escaped("\xc0\xaf") == "\\xc0\\xaf");                    // overlong
    CHECK(escaped("\xe0\x82\x9b") == "\\xe0\\x82\\x9b");           // overlong CSI
    CHECK(escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // surrogate
    CHECK(escaped("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond Unicode
    CHECK(escaped("\x9b"
                  "31m") == "\\x9b31m");  // CSI of an 8-bit terminal
}

}  // namespace t2i::test
