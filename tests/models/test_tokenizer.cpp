// T5's tokenizer against transformers' slow T5Tokenizer on the published vocabulary
// (scripts/golden/tokenizer.py).
#include <fstream>
#include <iterator>

#include "support/catch.h"
#include "support/fixture.h"
#include "support/place.h"
#include "t2i/error.h"
#include "text/t5_tokenizer.h"
#include "text/unicode.h"

namespace t2i::test {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int64_t no_limit = 100000;

std::string message_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const Error& e) {
        CHECK(e.code() == ErrorCode::input);
        return e.what();
    }
    return "nothing was thrown";
}

}  // namespace

TEST_CASE("T5's published vocabulary gives the ids of transformers") {
    const auto folder = shared_data("weights/t5");
    if (!folder) return;
    const std::string model = file_text((*folder / "spiece.model").string());
    const auto modern = load_tokenizer(folder->string());
    const auto defaults = make_t5_tokenizer(model, {}, "spiece.model");
    const auto golden = read_manifest("tokenizer");
    std::size_t wrong = 0, total = 0;
    const auto compare = [&](const Tokenizer& tokenizer, const nlohmann::json& c, const char* key, std::int64_t limit) {
        INFO(c.dump() << " as " << key);
        const Ids ids = tokenizer.encode(c.at("text").get<std::string>(), limit).ids;
        CHECK(ids == c.at(key).get<Ids>());
        wrong += ids != c.at(key).get<Ids>();
        ++total;
    };
    for (const auto& c : golden.at("texts")) {
        compare(*modern, c, "ids", no_limit);
        compare(*defaults, c, "defaults", no_limit);
    }
    for (const auto& c : golden.at("limits")) {
        compare(*modern, c, "ids", c.at("max").get<std::int64_t>());
        compare(*defaults, c, "legacy", c.at("max").get<std::int64_t>());
    }
    check_parity("T5 tokenizer", std::to_string(total) + " texts, share of wrong ones",
                 static_cast<double>(wrong) / static_cast<double>(total), 0.0);
}

TEST_CASE("A small vocabulary gives the ids of transformers") {
    const std::string model = file_text((source_folder() / "tests" / "golden" / "vocabulary.model").string());
    const auto modern = make_t5_tokenizer(model, {.legacy = false, .extra_ids = 0}, "spiece.model");
    const auto legacy = make_t5_tokenizer(model, {.legacy = true, .extra_ids = 0}, "spiece.model");
    const auto golden = read_manifest("tokenizer");
    for (const auto& c : golden.at("small")) {
        INFO(c.dump());
        const auto text = c.at("text").get<std::string>();
        CHECK(modern->encode(text, no_limit).ids == c.at("ids").get<Ids>());
        CHECK(legacy->encode(text, no_limit).ids == c.at("legacy").get<Ids>());
    }
}

TEST_CASE("T5's tokenizer gives the published ids and says what it cut") {
    const auto folder = shared_data("weights/t5");
    if (!folder) return;
    const auto tokenizer = load_tokenizer(folder->string());
    CHECK(tokenizer->encode("A long paragraph for summarization.", no_limit).ids ==
          Ids{71, 307, 8986, 21, 4505, 1635, 1707, 5, 1});
    CHECK(tokenizer->encode("Summary of the text. </s>", no_limit).ids == Ids{20698, 13, 8, 1499, 5, 1});
    CHECK(tokenizer->encode("<pad> Today is <unk> nice day </s>", no_limit).ids == Ids{0, 1960, 19, 2, 1245, 239, 1});
    CHECK(tokenizer->encode("one two three", 4).cut.empty());
    CHECK(tokenizer->encode("one two three </s>", 4).cut.empty());
    const Tokens cut = tokenizer->encode("one two three four", 3);
    CHECK(cut.ids == Ids{80, 192, 1});
    CHECK(strip_left(cut.cut) == "three four");
    const Tokens inside = tokenizer->encode("一只戴着帽子的猫 sits", 3);
    CHECK_NOTHROW(check_utf8(inside.cut, "cut"));
    CHECK(strip_left(inside.cut) == "sits");
}

TEST_CASE("A broken SentencePiece model is an error that names its file") {
    for (const std::string& bytes : {std::string(), std::string("not a model"), std::string(1000, '\xFF'),
                                     std::string("\x0A\x05\x0A\x03"
                                                 "abc")})
        CHECK(
            message_of([&] { (void)make_t5_tokenizer(bytes, {}, "folder/spiece.model"); }).starts_with("folder/spiece.model: "));
    const TempFolder empty;
    CHECK(message_of([&] { (void)load_tokenizer(empty.path().string()); }) ==
          empty.path().string() + ": holds neither spiece.model nor tokenizer.json");
}

TEST_CASE("A truncated or damaged vocabulary is refused or still tokenizes") {
    const auto folder = shared_data("weights/t5");
    if (!folder) return;
    const std::string model = file_text((*folder / "spiece.model").string());
    for (std::size_t i = 1; i < 24; ++i) {
        const std::string part = model.substr(0, model.size() * i / 24);
        try {
            const Tokens tokens = make_t5_tokenizer(part, {}, "spiece.model")->encode("a red apple ﬁ", no_limit);
            CHECK_FALSE(tokens.ids.empty());
        } catch (const Error& e) {
            CHECK(std::string(e.what()).starts_with("spiece.model: "));
        }
    }
}

TEST_CASE("A bad tokenizer_config.json is an error that names it") {
    const auto folder = shared_data("weights/t5");
    if (!folder) return;
    const TempFolder copy;
    std::filesystem::copy_file(*folder / "spiece.model", copy.path() / "spiece.model");
    for (const char* text : {"{", "[]", R"({"legacy": "yes"})", R"({"extra_ids": -1})", R"({"tokenizer_class": "CLIPTokenizer"})",
                             R"({"added_tokens_decoder": {"x": {"content": "<a>"}}})"}) {
        std::ofstream(copy.path() / "tokenizer_config.json") << text;
        INFO(text);
        CHECK(message_of([&] { (void)load_tokenizer(copy.path().string()); }).find("tokenizer_config.json") != std::string::npos);
    }
}

TEST_CASE("Prompts are lower-cased and stripped as Python does it") {
    const auto golden = read_manifest("tokenizer");
    for (const auto& pair : golden.at("prompts"))
        CHECK(lower_and_strip(pair.at(0).get<std::string>()) == pair.at(1).get<std::string>());
    // Every character that has another lower case.
    const auto characters = golden.at("lower").at("characters").get<std::string>();
    const auto lowered = golden.at("lower").at("lowered").get<std::string>();
    std::size_t at = 0, line = 0, count = 0, wrong = 0;
    while (at < characters.size()) {
        std::size_t end = at + 1;
        while (end < characters.size() && (static_cast<unsigned char>(characters[end]) & 0xC0U) == 0x80U) ++end;
        const std::size_t line_end = std::min(lowered.find('\n', line), lowered.size());
        wrong += lower_and_strip(characters.substr(at, end - at)) != lowered.substr(line, line_end - line);
        ++count;
        at = end;
        line = line_end + 1;
    }
    CHECK(count > 1300);
    CHECK(wrong == 0);
}

TEST_CASE("What is not UTF-8 is refused with its place") {
    CHECK_NOTHROW(check_utf8("plain, 中文, 🙂", "prompt"));
    CHECK(message_of([] { check_utf8("ab\xFF", Field{"prompt"}); }) == "prompt: is not UTF-8 (byte 2)");
    for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xE4\xB8", "\xF4\x90\x80\x80", "\x80"})
        CHECK(message_of([&] { check_utf8(bad, "prompt"); }) == "prompt is not UTF-8 (byte 0)");
}

}  // namespace t2i::test
