// Text and JSON lines: what they accept, and that a bad line neither stops the rest nor takes memory.
#include <cstdlib>
#include <string>
#include <vector>

#include "batch/flag_line.h"
#include "batch/prompt_readers.h"
#include "batch/request_id.h"
#include "prompt_entries.h"
#include "support/catch.h"
#include "t2i/error.h"

namespace t2i::batch {
namespace {

using test::entries_of;

std::string problem_of(const std::string& line) {
    try {
        static_cast<void>(parse_text_line(line));
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

TEST_CASE("prompt file: words are split as Python's shlex does") {
    const RequestLine line = parse_text_line(R"(--prompt "a \"red\" apple\n" --negative_prompt 'it''s \n' --id a\ b --steps=5)");
    CHECK(line.request.prompt == R"(a "red" apple\n)");
    CHECK(line.request.negative_prompt == R"(its \n)");
    CHECK(line.id == "a b");
    CHECK(line.request.steps == 5);
    CHECK(parse_text_line("--prompt a red apple --seed 4").request.prompt == "a red apple");
    CHECK(parse_text_line(R"(--prompt "--seed" --seed 4)").request.prompt == "--seed");
    CHECK(parse_text_line("--prompt a \"--b\" c").request.prompt == "a --b c");
}

TEST_CASE("prompt file: a line without flags is a prompt, whatever stands in it") {
    for (const char* text : {"a -- b", "well--known", "\"quoted\" and 'not", "-p x", "--5", "a=b --", "back\\slash"}) {
        INFO(text);
        CHECK(parse_text_line(text).request.prompt == text);
    }
}

TEST_CASE("prompt file: an unquoted prompt goes up to the next flag, quotation marks inside words and all") {
    const auto prompt_of = [](const char* line) { return parse_text_line(line).request.prompt; };
    CHECK(prompt_of("--prompt a cat's toy --seed 3") == "a cat's toy");
    CHECK(prompt_of("--prompt a cat's and a dog's toy --seed 3") == "a cat's and a dog's toy");
    CHECK(prompt_of("--prompt 'tis a cat's toy --seed 3") == "'tis a cat's toy");
    CHECK(prompt_of("--prompt 'a cat's toy' --seed 3") == "a cat's toy");
    CHECK(prompt_of("--prompt a 12\" pizza --seed 3") == "a 12\" pizza");
    CHECK(prompt_of("--prompt photo of \"sunset\" --seed 3") == "photo of sunset");
    CHECK(prompt_of("--prompt=\"a cat\" --seed 3") == "a cat");
    CHECK(prompt_of("--seed 3 --prompt a cat") == "a cat");
    CHECK(parse_text_line("--prompt a cat's toy --seed 010").seed == 10U);
    CHECK(parse_text_line("--prompt x --sampler_name DPM++ 2M Karras --steps 3").request.sampler == "DPM++ 2M Karras");
}

TEST_CASE("prompt file: flags that are true or false, in every form") {
    const auto clean = [](const RequestLine& line) { return line.request.clean_caption; };
    CHECK(clean(parse_text_line("--prompt x --clean_caption")) == true);
    CHECK(clean(parse_text_line("--prompt x --clean-caption --seed 3")) == true);
    CHECK(clean(parse_text_line("--prompt x --clean_caption no")) == false);
    CHECK_FALSE(clean(parse_text_line("--prompt x")).has_value());
    CHECK(parse_text_line("--prompt x --use_resolution_binning True").request.resolution_binning == true);
    CHECK(clean(parse_json_request(R"({"prompt": "a", "clean_caption": true})")) == true);
    CHECK(clean(parse_json_request(R"({"prompt": "a", "clean_caption": false})")) == false);
    CHECK(clean(parse_json_request(R"({"prompt": "a", "clean_caption": 1})")) == true);
    CHECK_FALSE(clean(parse_json_request(R"({"prompt": "a", "clean_caption": null})")).has_value());
    CHECK(problem_of("--prompt x --clean_caption perhaps") == "clean_caption: \"perhaps\" is neither true nor false");
    CHECK_THROWS_AS(parse_json_request(R"({"prompt": "a", "steps": true})"), Error);
}

TEST_CASE("prompt file: AUTOMATIC1111's names and options") {
    const RequestLine wiki = parse_text_line(
        "--prompt \"photo of sunset\" --negative_prompt \"orange, pink\" --sampler_name \"DPM++ 2M Karras\" --steps 10 "
        "--batch_size 2 --cfg_scale 3 --seed 9");
    CHECK(wiki.request.sampler == "DPM++ 2M Karras");
    CHECK(wiki.request.count == 2);
    CHECK(parse_text_line("--prompt x --n_iter 3 --batch_size 2").request.count == 6);
    CHECK(parse_text_line("--prompt x --n_iter 3").request.count == 3);
    PassedOver passed_over;
    static_cast<void>(parse_text_line("--prompt x --do_not_save_grid true --tiling false --outpath_samples a b", &passed_over));
    static_cast<void>(parse_text_line("--prompt x --do_not_save_grid --seed 3", &passed_over));
    CHECK(passed_over == PassedOver{{"do_not_save_grid", 2}, {"outpath_samples", 1}, {"tiling", 1}});
    CHECK(problem_of("--prompt x --tiling true") == "tiling is not taken: no model here makes tiles");
    CHECK(problem_of("--prompt x --restore_faces") == "restore_faces is not taken: nothing here restores faces");
    CHECK(problem_of("--prompt x --subseed_strength 0.1").find("not taken") != std::string::npos);
    CHECK(problem_of("--prompt x --subseed_strength 0 --subseed 7").empty());
    CHECK(problem_of("--prompt x --n_iter 400 --batch_size 400") ==
          "batch_size times n_iter, 160000, is out of range [1, 100000]");
}

TEST_CASE("prompt file: flag lines that are wrong say so") {
    CHECK(problem_of("a cat --steps 3") == "a word without a flag before it: \"a\"");
    CHECK(problem_of("–prompt a cat") == "begins with a long dash where --prompt has two hyphens");
    CHECK(problem_of("—steps=3 --prompt a") != "");
    CHECK(problem_of("—negative_prompt=dog") == "begins with a long dash where --negative_prompt has two hyphens");
    CHECK(parse_text_line("–cat, – dog").request.prompt == "–cat, – dog");
    CHECK(problem_of("--prompt \"a") == "a quotation mark (\") is not closed");
    CHECK(problem_of("--prompt a\\") == "ends in a backslash");
    CHECK(problem_of("--prompt a --seed") == "--seed has no value");
    CHECK(problem_of("--prompt a --step 3") == "unknown name \"step\"; did you mean steps?");
    CHECK(problem_of("--prompt a --steps 3 --num-inference-steps 4") == "steps is given twice");
    CHECK(problem_of("--prompt a --steps three") == "steps: \"three\" is not a whole number");
    CHECK(problem_of("--prompt a --steps 99999999999") == "steps: 99999999999 is out of range [1, 1000]");
    CHECK(problem_of("--prompt a --seed 18446744073709551616")
              .starts_with("seed: 18446744073709551616 is out of range [0, 18446744073709551615]"));
    CHECK(problem_of("--prompt a --cfg_scale nan") == "cfg_scale: \"nan\" is not a number");
    CHECK(problem_of("--steps 3") == "has no prompt");
}

TEST_CASE("prompt file: a seed is unset, a number, or one to be picked") {
    CHECK(!parse_text_line("a").seed);
    CHECK(parse_text_line("--prompt a --seed 18446744073709551615").seed == 18446744073709551615U);
    CHECK(parse_text_line("--prompt a --seed -1").picks_seed);
    CHECK(parse_json_request(R"({"prompt": "a", "seed": -1})").picks_seed);
}

TEST_CASE("prompt file: JSON takes numbers as programs write them") {
    const auto seed_of = [](const std::string& seed) {
        return parse_json_request(R"({"prompt": "a", "seed": )" + seed + "}").seed;
    };
    CHECK(seed_of("42.0") == 42U);
    CHECK(seed_of("1e3") == 1000U);
    CHECK(seed_of(R"("42")") == 42U);
    CHECK(seed_of("18446744073709551615") == 18446744073709551615U);
    for (const char* bad : {"1.5", "18446744073709551616", "1e20", R"("x")", "true", "[1]"}) {
        INFO(bad);
        CHECK_THROWS_AS(seed_of(bad), Error);
    }
    CHECK(parse_json_request(R"({"Prompt": "a", "Steps": "20.0", "CFG scale": "4.5"})").request.steps == 20);
}

TEST_CASE("prompt file: what is no request's is kept as it stands, and what is probably misspelt is not") {
    CHECK(parse_json_request(
              R"({"prompt": "a", "category": "x", "n": 1.50, "tags": ["b", {"c": [null, true, -2]}, []], "none": null})")
              .extra == R"({"category":"x","n":1.50,"tags":["b",{"c":[null,true,-2]},[]],"none":null})");
    CHECK(parse_json_request(R"({"prompt": "a"})").extra.empty());
    for (const char* bad : {R"({"prompt": "a", "stpes": 3})", R"({"prompt": "a", "Seeds": 3})", R"({"promt": "a"})",
                            R"({"prompt": "a", "x": 1, "x": 2})"}) {
        INFO(bad);
        CHECK_THROWS_AS(parse_json_request(bad), Error);
    }
    std::string deep = R"({"prompt": "a", "x": )" + std::string(1000, '[') + std::string(1000, ']') + "}";
    CHECK_THROWS_WITH(parse_json_request(deep), "is nested too deeply");
    CHECK_THROWS_AS(parse_json_request(R"({"prompt": "a", "x": ")" + std::string(100'000, 'x') + "\"}"), Error);
    const ReaderOptions options{.name = {}, .encoding = {}, .prompt_column = "caption"};
    const RequestLine line = parse_json_request(R"({"prompt": "no", "caption": "yes"})", options);
    CHECK(line.request.prompt == "yes");
    CHECK(line.extra == R"({"prompt":"no"})");
}

TEST_CASE("prompt file: JSON takes a number as an id, null as nothing, and no nesting") {
    CHECK(parse_json_request(R"({"prompt": "a", "id": 12, "steps": null})").id == "12");
    CHECK(!parse_json_request(R"({"prompt": "a", "steps": null})").request.steps);
    CHECK_THROWS_AS(parse_json_request(R"({"prompt": ["a"]})"), Error);
    CHECK_THROWS_AS(parse_json_request(R"({"prompt": "a"} {})"), Error);
    CHECK_THROWS_AS(parse_json_request(std::string(1 << 20, '[')), Error);
}

TEST_CASE("prompt file: line ends, marks and comments") {
    const auto lines = entries_of(
        "\xEF\xBB\xBF"
        "a\r\n  # no\n \t\n b \n#c",
        PromptFormat::text);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].request->request.prompt == "a");
    CHECK(lines[1].request->request.prompt == "b");
    CHECK(lines[1].line == 4);
    CHECK(entries_of("a\rb\r\nc\n\rd", PromptFormat::text).size() == 4);
    CHECK(entries_of("a\rb\r\nc\n\rd", PromptFormat::text).back().line == 5);
    CHECK(entries_of("# is a prompt in JSON? no", PromptFormat::json_lines)[0].problem.find("not valid JSON") !=
          std::string::npos);
    CHECK(entries_of("", PromptFormat::csv).empty());
    CHECK(entries_of("", PromptFormat::json).empty());
}

TEST_CASE("prompt file: excerpts are one short line of valid UTF-8") {
    CHECK(excerpt("a\tb\x01") == "a b ");
    CHECK(excerpt("\xFFz") == "?z");
    const std::string apple = "红苹果";
    CHECK(excerpt(apple, 7) == "红苹…");
}

}  // namespace
}  // namespace t2i::batch
