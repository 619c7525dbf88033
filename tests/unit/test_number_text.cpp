// Numbers as people write them: decimal, exact, never clamped.
#include "core/number_text.h"
#include "support/catch.h"

namespace t2i {
namespace {

TEST_CASE("numbers: a whole number is its digits, however it is written") {
    const auto is = [](const char* text, const char* digits) {
        INFO(text);
        CHECK(whole_number(text) == digits);
    };
    is("42", "42");
    is("-42", "-42");
    is("+42", "42");
    is("010", "10");  // not eight
    is("08", "8");
    is("000", "0");
    is("-0", "0");
    is("42.0", "42");
    is("42.", "42");
    is("1e3", "1000");
    is("1E+05", "100000");
    is("4.2e1", "42");
    is("1200e-2", "12");
    is("0e99999999999999999999", "0");
    is("18446744073709551615", "18446744073709551615");
    is("1.8446744073709551615e19", "18446744073709551615");
    for (const char* none :
         {"", "-", "+", ".", "e3", "1.5", "1e-1", "0x10", "1_000", " 1", "1 ", "1e", "1e+", "1.2.3", "--1", "inf", "nan", "１"})
        is(none, "");
    CHECK(whole_number("1e999999999").size() == 401);
}

TEST_CASE("numbers: a range is never left") {
    std::int64_t value = 7;
    CHECK(read_whole("010", 1, 1000, value).empty());
    CHECK(value == 10);
    CHECK(read_whole("0", 1, 1000, value) == "0 is out of range [1, 1000]");
    CHECK(read_whole("99999999999", 1, 1000, value) == "99999999999 is out of range [1, 1000]");
    CHECK(read_whole("99999999999999999999", 1, 1000, value) == "99999999999999999999 is out of range [1, 1000]");
    CHECK(read_whole("-1e300", 1, 1000, value).find("… is out of range [1, 1000]") != std::string::npos);
    CHECK(read_whole("many", 1, 1000, value) == "\"many\" is not a whole number");
    CHECK(value == 10);
}

TEST_CASE("numbers: a seed has 64 bits, or asks for one") {
    Seed seed;
    for (const char* text : {"9223372036854775807", "9223372036854775808", "18446744073709551615", "0"}) {
        CHECK(read_seed(text, seed).empty());
        CHECK(std::to_string(seed.value) == text);
        CHECK(!seed.picks);
    }
    CHECK(read_seed("0123", seed).empty());
    CHECK(seed.value == 123);
    CHECK(read_seed("18446744073709551616", seed) ==
          "18446744073709551616 is out of range [0, 18446744073709551615] (below 0: one is picked)");
    CHECK(read_seed("7x", seed) == "\"7x\" is not a whole number");
    CHECK(seed.value == 123);
    CHECK(read_seed("-99999999999999999999999", seed).empty());
    CHECK(seed.picks);
}

}  // namespace
}  // namespace t2i
