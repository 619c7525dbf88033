// Tokenizer folders of every form give the ids of transformers 4 and 5 (scripts/golden/token_folders.py); hostile files are
// refused.
#include <chrono>
#include <functional>
#include <set>

#include "support/catch.h"
#include "support/fixture.h"
#include "support/token_folders.h"
#include "t2i/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;
constexpr std::int64_t no_limit = 100000;

// The folders that transformers of this version reads or writes.
void compare_with(const std::string& version) {
    const Json golden = read_manifest("token_folders").at(version);
    std::vector<std::unique_ptr<Tokenizer>> tokenizers;
    std::vector<std::string> names;
    const TempFolder root;
    for (const Json& folder : golden.at("folders")) {
        const fs::path path = root.path() / std::to_string(tokenizers.size());
        write_token_folder(folder, path);
        names.push_back(folder.at("name").get<std::string>());
        tokenizers.push_back(load_tokenizer(path.string(), folder.at("class").get<std::string>()));
    }
    REQUIRE(tokenizers.size() > 5);
    std::size_t compared = 0, wrong = 0;
    for (const Json& prompt : golden.at("prompts"))
        for (const Json& group : prompt.at("ids"))
            for (const Json& number : group.at(1)) {
                INFO(prompt.at("text").dump() << " by " << names.at(number.get<std::size_t>()));
                const auto tokens = tokenizers.at(number.get<std::size_t>())
                                        ->encode(prompt.at("text").get<std::string>(), prompt.at("max").get<std::int64_t>());
                ++compared;
                if (tokens.ids == group.at(0).get<Ids>()) continue;
                ++wrong;
                CHECK(Json(tokens.ids).dump() == group.at(0).dump());
            }
    REQUIRE(compared == tokenizers.size() * golden.at("prompts").size());
    check_parity("T5 tokenizers, transformers " + version, std::to_string(compared) + " texts, share of wrong ones",
                 static_cast<double>(wrong) / static_cast<double>(compared), 0.0);
}

std::string message_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const Error& e) {
        CHECK(e.code() == ErrorCode::input);
        const std::string text = e.what();
        CHECK(text.find('\n') == std::string::npos);
        return text;
    }
    return "nothing was thrown";
}

// A small file of the form that transformers 5 writes.
Json small_file() {
    return Json::parse(R"({
        "version": "1.0", "added_tokens": [{"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
                                            "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                          {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [0], "tokens": ["</s>"]}}},
        "model": {"type": "Unigram", "unk_id": 1, "vocab": [["</s>", 0.0], ["<unk>", 0.0], ["▁", -2], ["▁red", -3.5], ["a", -4]]}})");
}

Ids ids_of(const Json& file, const std::string& text) {
    return make_fast_tokenizer(parse_tokenizer_json(file.dump(), "tokenizer.json"))->encode(text, no_limit).ids;
}

std::string refusal(const std::string& text) {
    return message_of(
        [&] { (void)make_fast_tokenizer(parse_tokenizer_json(text, "tokenizer.json"))->encode("a dog", no_limit); });
}

}  // namespace

TEST_CASE("Tokenizer folders give the ids of transformers 4") {
    compare_with("4");
}

TEST_CASE("Tokenizer folders give the ids of transformers 5") {
    compare_with("5");
}

TEST_CASE("Of a tokenizer folder exactly the files that it is read from count") {
    struct Case {
        const char *version, *name;
        std::set<std::string> files;
    };
    const std::vector<Case> cases{
        {"4", "slow, no config", {"spiece.model"}},
        {"4", "slow, older files", {"spiece.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}},
        {"4", "slow, tokens of tokenizer.json", {"spiece.model", "tokenizer.json"}},
        {"4", "fast", {"tokenizer.json", "tokenizer_config.json"}},
        {"4", "fast, both files", {"tokenizer.json", "tokenizer_config.json"}},
        {"4", "fast, both files, slow class", {"spiece.model", "tokenizer_config.json"}},
        {"4", "fast, prefix asked for", {"spiece.model", "tokenizer_config.json"}},
        {"5", "5", {"tokenizer.json", "tokenizer_config.json"}},
    };
    for (const Case& c : cases) {
        INFO(c.name);
        const TempFolder root;
        const nlohmann::json folder = token_folder(c.version, c.name);
        const auto class_name = folder.at("class").get<std::string>();
        write_token_folder(folder, root.path());
        std::set<std::string> read;
        for (const auto& file : tokenizer_files(root.path().string(), class_name))
            read.insert(fs::path(file).filename().string());
        CHECK(read == c.files);
        const Ids ids = load_tokenizer(root.path().string(), class_name)->encode("a red apple", no_limit).ids;
        for (const auto& entry : folder.at("files").items()) {
            INFO(entry.key());
            const std::string path = root / entry.key(), before = file_text(path);
            write_file(path, "{");
            if (read.contains(entry.key()))
                CHECK(message_of([&] { (void)load_tokenizer(root.path().string(), class_name); }).find(path) !=
                      std::string::npos);
            else CHECK(load_tokenizer(root.path().string(), class_name)->encode("a red apple", no_limit).ids == ids);
            write_file(path, before);
        }
    }
}

TEST_CASE("tokenizer.json: the published file gives the published ids, and loads in a moment") {
    const auto folder = shared_data("weights/t5");
    if (!folder) return;
    const auto begin = std::chrono::steady_clock::now();
    const auto tokenizer = load_tokenizer(folder->string(), "T5TokenizerFast");
    const auto slow = load_tokenizer(folder->string(), "T5Tokenizer");
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    INFO("both tokenizers: " << ms << " ms");
    CHECK(tokenizer->encode("A long paragraph for summarization.", no_limit).ids ==
          Ids{71, 307, 8986, 21, 4505, 1635, 1707, 5, 1});
    // A cluster of letters that the charsmap knows the beginning of: the accent is lost, which SentencePiece keeps.
    CHECK(tokenizer->encode("①\u0301", no_limit).ids != slow->encode("①\u0301", no_limit).ids);
    CHECK(tokenizer->encode("①\u0301", no_limit).ids == tokenizer->encode("1", no_limit).ids);
}

TEST_CASE("tokenizer.json: a text that does not fit is cut between pieces, and says where every piece stood") {
    const Json file = small_file();
    const auto tokenizer = make_fast_tokenizer(parse_tokenizer_json(file.dump(), "tokenizer.json"));
    CHECK(ids_of(file, "red a") == Ids{3, 2, 4, 0});
    const Tokens tokens = tokenizer->encode("red  猫猫 a", 4);
    CHECK(tokens.ids == Ids{3, 2, 1, 0});
    CHECK(tokens.cut == "a");
    REQUIRE(tokens.placed.size() == 4);
    CHECK(tokens.placed[2].begin == 5);
    CHECK(tokens.placed[2].end == 11);
    CHECK(tokenizer->encode("red a", 1).ids == Ids{0});
    CHECK(tokenizer->encode("", 5).ids == Ids{0});
}

TEST_CASE("tokenizer.json: what is wrong with a file is said in one line") {
    const auto with = [](const char* path, const Json& value) {
        Json file = small_file();
        file[Json::json_pointer(path)] = value;
        return refusal(file.dump());
    };
    const auto says = [](const std::string& text, const std::string& part) {
        INFO(text);
        CHECK(text.starts_with("tokenizer.json: "));
        CHECK(text.find(part) != std::string::npos);
    };
    CHECK(refusal(small_file().dump()) == "nothing was thrown");
    says(refusal(""), "is not valid JSON");
    says(refusal("{\"model\": "), "is not valid JSON (byte 1");
    says(refusal("[]"), "is not a JSON object");
    says(refusal("{}"), "lacks \"model\"");
    says(with("/model/type", "BPE"), "\"model\" is of the kind \"BPE\", which t2i does not know (it knows Unigram)");
    says(with("/model/vocab", Json::object()), "\"model\" has no \"vocab\" that is a list");
    says(with("/model/vocab", Json::array()), "\"model\" has an empty \"vocab\"");
    says(with("/model/vocab/2", "a"), "holds a vocabulary whose entry 2 is no pair of a text and a number");
    says(with("/model/vocab/2", Json::array({"a"})), "holds a vocabulary whose entry 2");
    says(with("/model/vocab/2", Json::array({"a", 1, 2})), "holds a vocabulary whose entry 2");
    says(with("/model/vocab/2", Json::array({1, "a"})), "holds a vocabulary whose entry 2");
    says(with("/model/vocab/2", Json::array({"a", nullptr})), "holds a vocabulary whose entry 2");
    says(with("/model/vocab/2", Json::array({"a", Json::array()})), "holds a vocabulary whose entry 2");
    says(with("/model/unk_id", 5), "\"unk_id\" is 5, the vocabulary has 5 pieces");
    says(with("/model/unk_id", -1), "\"model\" holds a bad id");
    says(with("/model/unk_id", nullptr), "has no piece for \"dog\" and no \"unk_id\"");
    says(with("/normalizer", Json{{"type", "NFKC"}}), "\"normalizer\" is of the kind \"NFKC\"");
    says(with("/normalizer", Json{{"type", "Precompiled"}, {"precompiled_charsmap", "AB!="}}), "is not base64");
    says(with("/normalizer", Json{{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}),
         "precompiled_charsmap that is cut off");
    says(with("/normalizer", Json{{"type", "Replace"}, {"pattern", {{"Regex", "a|b"}}}, {"content", ""}}),
         "regular expression \"a|b\"");
    says(with("/normalizer", Json{{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", ""}}),
         "replaces an empty text");
    says(with("/pre_tokenizer/pretokenizers/0/type", "Digits"), "\"pre_tokenizer\" is of the kind \"Digits\"");
    says(with("/pre_tokenizer/pretokenizers/1/prepend_scheme", "last"), "\"prepend_scheme\" \"last\"");
    says(with("/pre_tokenizer/pretokenizers/1/replacement", "ab"), "no single character");
    says(with("/pre_tokenizer/pretokenizers/1/add_prefix_space", false), "contradicts");
    says(with("/post_processor/single", Json::array()), "holds the text 0 times");
    says(with("/post_processor/special_tokens", Json::object()), "lacks \"</s>\"");
    says(with("/post_processor/special_tokens/<~1s>/ids/0", 1e10), "holds a bad id");
    says(with("/added_tokens/0/content", 7), "holds a token that is no object");
    says(with("/added_tokens/0/id", "x"), "holds a bad id");
    std::string deep = "{\"model\": ";
    for (int i = 0; i < 100000; ++i) deep += "[";
    says(refusal(deep), "nested too deeply");
    std::string many = "{\"truncation\": [";
    for (int i = 0; i < 1000001; ++i) many += "0,";
    says(refusal(many + "0]}"), "too many values");
    std::string overflow = small_file().dump();
    overflow.replace(overflow.find("-3.5"), 4, "-1e999");
    says(refusal(overflow), "is not valid JSON");
    overflow = small_file().dump();
    overflow.replace(overflow.find("-3.5"), 4, "NaN");
    says(refusal(overflow), "is not valid JSON");
}

TEST_CASE("tokenizer.json: a charsmap whose units lead outside or in a circle ends its search") {
    Json file = small_file();
    const auto bytes_of = [](const std::vector<std::uint32_t>& words) {
        std::string bytes;
        for (const std::uint32_t w : words)
            for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(w >> shift & 0xFFU);
        return bytes;
    };
    const auto with_units = [&](std::vector<std::uint32_t> units, const std::string& texts) {
        std::vector<std::uint32_t> words{static_cast<std::uint32_t>(units.size() * 4)};
        words.insert(words.end(), units.begin(), units.end());
        file["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", base64_of(bytes_of(words) + texts)}};
        return ids_of(file, "a red aaaa");
    };
    const Ids plain = [&] {
        file["normalizer"] = nullptr;
        return ids_of(file, "a red aaaa");
    }();
    CHECK(with_units({0}, "") == plain);            // 'a' lies outside one unit
    CHECK(with_units({0xFFFFFFFFU}, "") == plain);  // an offset far outside
    std::vector<std::uint32_t> circle(256, 0);
    circle['a'] = 'a';  // labelled a, offset 0, no leaf: the next a leads to it again
    CHECK(with_units(circle, "") == plain);
    circle['a'] = 'a' | 1U << 8;  // a leaf whose value is the unit of 'a' itself: a place in the texts
    CHECK(with_units(circle, "") == plain);
    std::vector<std::uint32_t> good(256, 0);
    good['a'] = 'a' | 1U << 8 | 1U << 10;  // its leaf is unit 'a' ^ 1
    good['a' ^ 1] = 0x80000000U;           // the text at 0
    CHECK(with_units(good, std::string("red\0", 4)) ==
          ids_of(
              [&] {
                  Json other = file;
                  other["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "red"}};
                  return other;
              }(),
              "a red aaaa"));
    CHECK(message_of([&] { (void)with_units(good, "\xA9"); }).find("precompiled_charsmap that is cut off") != std::string::npos);
}

}  // namespace t2i::test
