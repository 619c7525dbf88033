// Prompt files: what each format accepts, and that a bad line neither stops the rest nor takes memory.
#include <cstdlib>
#include <string>
#include <vector>

#include "batch/prompt_file.h"
#include "batch/request_id.h"
#include "support/catch.h"
#include "t2i/error.h"

namespace t2i::batch {
namespace {

std::vector<PromptEntry> entries_of(std::string_view text, PromptFormat format) {
    const auto file = read_prompts(memory_source(text), format, "test");
    std::vector<PromptEntry> entries;
    for (PromptEntry entry; file->next(entry);) entries.push_back(entry);
    return entries;
}

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

TEST_CASE("prompt file: flag lines that are wrong say so") {
    CHECK(problem_of("a cat --steps 3") == "a word without a flag before it: \"a\"");
    CHECK(problem_of("--prompt \"a") == "a quotation mark (\") is not closed");
    CHECK(problem_of("--prompt a\\") == "ends in a backslash");
    CHECK(problem_of("--prompt a --seed") == "--seed has no value");
    CHECK(problem_of("--prompt a --step 3") == "unknown name \"step\"; did you mean steps?");
    CHECK(problem_of("--prompt a --steps 3 --num-inference-steps 4") == "steps is given twice");
    CHECK(problem_of("--prompt a --steps three") == "steps is not a whole number: \"three\"");
    CHECK(problem_of("--prompt a --seed 18446744073709551616") ==
          "seed is not a whole number below 2^64: \"18446744073709551616\"");
    CHECK(problem_of("--prompt a --cfg_scale nan") == "cfg_scale is not a number: \"nan\"");
    CHECK(problem_of("--steps 3") == "has no prompt");
}

TEST_CASE("prompt file: a seed is unset, a number, or one to be picked") {
    CHECK(!parse_text_line("a").seed);
    CHECK(parse_text_line("--prompt a --seed 18446744073709551615").seed == 18446744073709551615U);
    CHECK(parse_text_line("--prompt a --seed -1").picks_seed);
    CHECK(parse_json_line(R"({"prompt": "a", "seed": -1})").picks_seed);
}

TEST_CASE("prompt file: JSON takes a number as an id, null as nothing, and no nesting") {
    CHECK(parse_json_line(R"({"prompt": "a", "id": 12, "steps": null})").id == "12");
    CHECK(!parse_json_line(R"({"prompt": "a", "steps": null})").request.steps);
    CHECK_THROWS_AS(parse_json_line(R"({"prompt": ["a"]})"), Error);
    CHECK_THROWS_AS(parse_json_line(R"({"prompt": "a"} {})"), Error);
    CHECK_THROWS_AS(parse_json_line(std::string(1 << 20, '[')), Error);
}

TEST_CASE("prompt file: CSV rows over several lines count from their first line, and a broken row is one bad line") {
    const auto rows = entries_of("prompt,seed\n\"a\nb\",1\n\nc\"d,2\ne,3\n\"f\"g,4\nh,5", PromptFormat::csv);
    REQUIRE(rows.size() == 5);
    CHECK(rows[0].line == 2);
    CHECK(rows[0].request->request.prompt == "a\nb");
    CHECK(rows[1].line == 5);
    CHECK(!rows[1].request);
    CHECK(rows[2].request->request.prompt == "e");
    CHECK(!rows[3].request);
    CHECK(rows[4].line == 8);
    CHECK(rows[4].request->request.prompt == "h");
}

TEST_CASE("prompt file: CSV rows that end in carriage returns alone have their line too") {
    const auto rows = entries_of("prompt\na\rb\rc", PromptFormat::csv);
    REQUIRE(rows.size() == 3);
    for (const auto& row : rows) CHECK(row.line == 2);
}

TEST_CASE("prompt file: a quotation mark that is never closed is told and takes no more than a cell may") {
    std::string text = "prompt\na\n\"b\n";
    for (int i = 0; i < 1'000'000; ++i) text += "line\n";
    const auto rows = entries_of(text, PromptFormat::csv);
    REQUIRE(rows.size() > 2);
    CHECK(rows[0].request->request.prompt == "a");
    CHECK(rows[1].line == 3);
    CHECK(rows[1].problem.find("is a quotation mark not closed?") != std::string::npos);
    CHECK(rows[2].request->request.prompt == "line");
    CHECK(entries_of("prompt\n\"b\n", PromptFormat::csv).back().problem == "a quotation mark is not closed");
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
    CHECK_THROWS_WITH(entries_of(std::string_view("\xFF\xFE"
                                                  "a\0\n\0",
                                                  6),
                                 PromptFormat::text),
                      "test: is UTF-16; save it as UTF-8");
    CHECK(entries_of("# is a prompt in JSON? no", PromptFormat::json_lines)[0].problem.find("not valid JSON") !=
          std::string::npos);
    CHECK(entries_of("", PromptFormat::csv).empty());
}

TEST_CASE("prompt file: excerpts are one short line of valid UTF-8") {
    CHECK(excerpt("a\tb\x01") == "a b ");
    CHECK(excerpt("\xFFz") == "?z");
    const std::string apple = "红苹果";
    CHECK(excerpt(apple, 7) == "红苹…");
}

}  // namespace
}  // namespace t2i::batch
