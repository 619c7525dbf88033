// Options in JSON files: what is read, and what an error says.
#include <nlohmann/json.hpp>

#include "core/json_options.h"
#include "support/catch.h"
#include "support/files.h"
#include "unit/expect_error.h"

namespace t2i::test {

TEST_CASE("JSON options: values, fallbacks and null") {
    const auto o = JsonOptions::parse(
        R"({"i": 7, "whole": 7.0, "x": 2.5, "on": true, "t": "a", "is": [1, 2], "ts": ["a", "b"], "n": null, "inf": -Infinity,
            "text": "NaN \" NaN"})",
        "o.json");
    CHECK(o.integer("i") == 7);
    CHECK(o.integer("whole") == 7);
    CHECK(o.integer("n", 3) == 3);
    CHECK(o.integer("absent", -5) == -5);  // a fallback is the caller's own
    CHECK(o.number("x") == 2.5);
    CHECK(o.number("i", {}, 7, 7) == 7);
    CHECK(o.number("absent", 9, 0, 1) == 9);
    CHECK(o.flag("on", false));
    CHECK(o.flag("n", true));
    CHECK(o.text("t", "b") == "a");
    CHECK(o.text("t", "b", {"a", "b"}) == "a");
    CHECK(o.text("absent", "b", {"a"}) == "b");
    CHECK(o.text("inf", "") == "-Infinity");
    CHECK(o.text("text", "") == "NaN \" NaN");
    CHECK(o.integers("is") == std::vector<std::int64_t>{1, 2});
    CHECK(o.texts("ts", {}) == std::vector<std::string>{"a", "b"});
    CHECK(o.has("i"));
    CHECK_FALSE(o.has("n"));
    CHECK(o.find("n") == nullptr);
}

TEST_CASE("JSON options: errors name the file, the key and the range") {
    const auto o = JsonOptions::parse(
        R"({"i": 7, "half": 2.5, "big": 1e300, "t": "a", "zero": 0, "mixed": [1, "a"], "zeros": [1, 0], "none": []})", "o.json");
    const auto said = [&](const auto& read) { return message_of(ErrorCode::input, [&] { (void)read(); }); };
    CHECK(said([&] { return o.integer("absent"); }) == "o.json: \"absent\" is missing");
    CHECK(said([&] { return o.integer("i", 1, 1, 6); }) == "o.json: \"i\" is out of range [1, 6]: 7");
    CHECK(said([&] { return o.integer("half"); }) == "o.json: \"half\" must be a whole number");
    CHECK(said([&] { return o.integer("big"); }).starts_with("o.json: \"big\" is out of range [1, 16777216]"));
    CHECK(said([&] { return o.integer("t"); }) == "o.json: \"t\" must be a whole number");
    CHECK(said([&] { return o.number("t"); }) == "o.json: \"t\" must be a number");
    CHECK(said([&] { return o.number("zero", {}, 0.5, 1); }) == "o.json: \"zero\" is out of range [0.5, 1]: 0");
    CHECK(said([&] { return o.flag("zero", false); }) == "o.json: \"zero\" must be true or false");
    CHECK(said([&] { return o.text("i", ""); }) == "o.json: \"i\" must be a string");
    CHECK(said([&] { return o.text("t", "b", {"b", "c"}); }) == "o.json: \"t\" is \"a\", which is not supported (b, c)");
    for (const char* key : {"i", "mixed", "zeros", "none"})
        CHECK(said([&] { return o.integers(key); }) ==
              "o.json: \"" + std::string(key) + "\" must be a list of positive integers");
    for (const char* key : {"i", "mixed"})
        CHECK(said([&] { return o.texts(key, {}); }) == "o.json: \"" + std::string(key) + "\" must be a list of strings");
}

TEST_CASE("JSON options: what is no object") {
    const auto said = [](const std::string& text) {
        return message_of(ErrorCode::input, [&] { (void)JsonOptions::parse(text, "o.json"); });
    };
    CHECK(said("") == "o.json: is not valid JSON");
    CHECK(said("{\"a\": 1e999}") == "o.json: is not valid JSON");
    CHECK(said(std::string("{}\0", 3)) == "o.json: is not valid JSON: contains a NUL byte");
    CHECK(said("[1]") == "o.json: is not a JSON object");
    CHECK(said("{\"a\": " + std::string(1000, '[')) == "o.json: is JSON that is nested too deeply");
    const TempFolder folder;
    CHECK(message_of(ErrorCode::input, [&] { (void)JsonOptions::read(folder / "none.json"); }).starts_with(folder / "none.json"));
}

TEST_CASE("JSON options: lists of numbers, and a copy with other keys") {
    const JsonOptions in =
        JsonOptions::parse(R"({"betas": [0, 0.5, 1e-3], "none": [], "word": "x", "mixed": [1, "2"]})", "a.json");
    CHECK(in.numbers("betas", 0.0, 1.0) == std::vector<double>{0.0, 0.5, 1e-3});
    CHECK(in.numbers("none", 0.0, 1.0).empty());
    for (const char* key : {"word", "mixed"}) CHECK_THROWS_AS((void)in.numbers(key, 0.0, 9.0), Error);
    CHECK_THROWS_AS((void)in.numbers("betas", 0.1, 1.0), Error);
    const JsonOptions changed = in.with({{"word", "y"}, {"betas", nullptr}, {"more", 3}});
    CHECK(changed.text("word", {}) == "y");
    CHECK_FALSE(changed.has("betas"));
    CHECK(changed.integer("more") == 3);
    CHECK(changed.where() == "a.json");
    CHECK(in.text("word", {}) == "x");
}

}  // namespace t2i::test
