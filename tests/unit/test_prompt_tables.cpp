// Tables of prompts: what spreadsheets, pandas and R write is what was meant.
#include <string>
#include <vector>

#include "expect_error.h"
#include "prompt_entries.h"
#include "support/catch.h"
#include "support/tables.h"

namespace t2i::batch {
namespace {

using test::entries_of;
using test::TableRow;

// The requests of `text`, as rows; the categories are looked for in what is kept.
void check_rows(const std::string& text, PromptFormat format, const std::vector<TableRow>& rows, bool one_line = false) {
    const auto entries = entries_of(text, format);
    REQUIRE(entries.size() == rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        INFO("row " << i << ": " << entries[i].problem);
        REQUIRE(entries[i].request);
        const RequestLine& line = *entries[i].request;
        std::string prompt = rows[i].prompt;
        if (one_line) std::ranges::replace(prompt, '\n', ' ');
        REQUIRE(line.request.prompt == prompt);
        REQUIRE(line.request.negative_prompt == rows[i].negative);
        REQUIRE(line.seed == rows[i].seed);
        REQUIRE(line.request.cfg_scale == rows[i].cfg_scale);
        if (!one_line)
            REQUIRE(line.extra ==
                    (rows[i].category == "animals" ? R"({"category":"animals"})" : R"({"category":"plants, \"fruit\""})"));
    }
}

// As the keys are written in the header.
void check_excel(const std::string& text, PromptFormat format, const std::vector<TableRow>& rows) {
    const auto entries = entries_of(text, format);
    REQUIRE(entries.size() == rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        INFO("row " << i << ": " << entries[i].problem);
        REQUIRE(entries[i].request);
        REQUIRE(entries[i].request->request.prompt == rows[i].prompt);
        REQUIRE(entries[i].request->request.negative_prompt == rows[i].negative);
        REQUIRE(entries[i].request->seed == rows[i].seed);
        REQUIRE(entries[i].request->request.cfg_scale == rows[i].cfg_scale);
        REQUIRE(entries[i].request->extra.starts_with(R"({"Category":")"));
    }
}

TEST_CASE("prompt tables: two thousand rows of Excel, pandas, R and flag lines are the same requests") {
    const auto rows = test::table_rows(2000);
    check_excel(test::excel_csv(rows), PromptFormat::csv, rows);
    check_excel(test::excel_semicolon_csv(rows), PromptFormat::csv, rows);
    check_excel(test::excel_unicode_text(rows), PromptFormat::tsv, rows);
    check_rows(test::pandas_csv(rows), PromptFormat::csv, rows);
    check_rows(test::r_csv(rows), PromptFormat::csv, rows);
    check_rows(test::r_csv2(rows), PromptFormat::csv, rows);
    check_rows(test::flag_lines(rows), PromptFormat::text, rows, true);
}

// Prompt and seed of a table of one row.
std::pair<std::string, std::optional<std::uint64_t>> only_row(const std::string& text, PromptFormat format = PromptFormat::csv) {
    const auto entries = entries_of(text, format);
    INFO(text);
    REQUIRE(entries.size() == 1);
    INFO(entries[0].problem);
    REQUIRE(entries[0].request);
    return {entries[0].request->request.prompt, entries[0].request->seed};
}

TEST_CASE("prompt tables: dialects") {
    const std::pair<std::string, std::optional<std::uint64_t>> cat{"a cat", 5};
    for (const char* text :
         {"\xEF\xBB\xBF\"prompt\",\"seed\"\r\n\"a cat\",\"5\"\r\n", "prompt,seed,,\na cat,5,,\n", "prompt,seed\na cat,5,,\n",
          "Prompt,Seed\na cat,5\n", "prompt;seed\na cat;5\n", "sep=;\nprompt;seed\na cat;5\n",
          "\"sep=;\"\r\nprompt;seed\r\na cat;5", "prompt|seed\na cat|5\n", "prompt\tseed\na cat\t5\n",
          "\"\",\"prompt\",\"seed\"\n\"1\",\"a cat\",5\n", ",prompt,seed\n0,a cat,5.0\n", " prompt , seed \n a cat , 5 \n",
          "PROMPT,sampler name,seed\na cat,,5\n", "prompt,seed,steps\na cat,5,NA\n", "prompt,seed\n\n,,\na cat,5\n\n"}) {
        CHECK(only_row(text) == cat);
        CHECK(only_row(text, PromptFormat::tsv) == cat);
    }
    CHECK(only_row("Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tx\n", PromptFormat::tsv).first == "bond");
    CHECK(only_row("prompt\na 12\" pizza\n").first == "a 12\" pizza");
    CHECK(only_row("prompt\tn\n\"Hello\" said the cat\t1\n", PromptFormat::tsv).first == "\"Hello\" said the cat");
    CHECK(only_row("prompt\tn\n\"a \"\"red\"\" cat\"\t1\n", PromptFormat::tsv).first == "a \"red\" cat");
    CHECK(only_row("prompt,seed\n\"a, \"\"b\"\"\r\nc\" ,5\n").first == "a, \"b\"\r\nc");
    CHECK(entries_of("prompt,seed\na,42.0\nb,1e3\nc,\nd,NA\n", PromptFormat::csv)[1].request->seed == 1000U);
    CHECK(!entries_of("prompt,seed\na,42.0\nb,1e3\nc,\nd,NA\n", PromptFormat::csv)[3].request->seed);
    CHECK(entries_of("prompt;cfg_scale\na;3,5\n", PromptFormat::csv)[0].request->request.cfg_scale == 3.5);
    CHECK(entries_of("prompt\nNA\n", PromptFormat::csv)[0].problem == "has no prompt");
}

TEST_CASE("prompt tables: other columns are kept, and those that are misspelt are told") {
    const auto extra_of = [](const char* text) { return entries_of(text, PromptFormat::csv)[0].request->extra; };
    CHECK(extra_of("prompt,category,note\na,animals,\n") == R"({"category":"animals"})");
    CHECK(extra_of("category,prompt,category\nx,a,y\n") == R"({"category":"x","category.1":"y"})");
    CHECK(extra_of(",prompt,\n1,a,z\n") == R"({"column 3":"z"})");
    CHECK(extra_of("prompt\na\n").empty());
    CHECK(extra_of("prompt,weight,light,index,size,count_of\na,1,2,3,4,5\n").size() > 40);
    const auto header = [](const char* text) {
        return test::message_of(ErrorCode::input, [&] { entries_of(text, PromptFormat::csv); });
    };
    CHECK(header("promt\na\n") == "test, line 1: header: unknown name \"promt\"; did you mean prompt?");
    CHECK(header("prompt,stepps\na,3\n") == "test, line 1: header: unknown name \"stepps\"; did you mean steps?");
    CHECK(header("prompt,Prompt\na,3\n") == "test, line 1: header: prompt stands there twice");
    CHECK(header("caption,category\na,3\n") ==
          "prompt_column: test, line 1: the header names no prompt column: \"caption, category\"");
    const auto named =
        entries_of("caption,prompt\nyes,no\n", {.format = PromptFormat::csv, .encoding = {}, .prompt_column = "caption"});
    CHECK(named[0].request->request.prompt == "yes");
    CHECK(named[0].request->extra == R"({"prompt":"no"})");
}

TEST_CASE("prompt tables: CSV rows over several lines count from their first line, and a broken row is one bad line") {
    const auto rows = entries_of("prompt,seed\n\"a\nb\",1\n\nc\"d,2\ne,3\n\"f\"g,4\nh,5", PromptFormat::csv);
    REQUIRE(rows.size() == 5);
    CHECK(rows[0].line == 2);
    CHECK(rows[0].request->request.prompt == "a\nb");
    CHECK(rows[1].line == 5);
    CHECK(rows[1].request->request.prompt == "c\"d");  // inside an unquoted cell it is a character like others
    CHECK(rows[2].request->request.prompt == "e");
    CHECK(!rows[3].request);
    CHECK(rows[4].line == 8);
    CHECK(rows[4].request->request.prompt == "h");
}

TEST_CASE("prompt tables: CSV rows that end in carriage returns alone have their line too") {
    const auto rows = entries_of("prompt\ra\rb\rc", PromptFormat::csv);
    REQUIRE(rows.size() == 3);
    CHECK(rows.front().line == 2);
    CHECK(rows.back().line == 4);
}

TEST_CASE("prompt tables: a quotation mark that is never closed is told and takes no more than a cell may") {
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

}  // namespace
}  // namespace t2i::batch
