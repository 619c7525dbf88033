// The prompt files that people have, drawn: tables, JSON, AUTOMATIC1111's lines, other encodings; and those that are refused.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/tables.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The lines of the manifest by prompt.
std::map<std::string, json> manifest_of(const fs::path& folder) {
    std::map<std::string, json> lines;
    std::ifstream file(folder / "manifest.jsonl");
    for (std::string line; std::getline(file, line);) {
        const json parsed = json::parse(line);
        lines[parsed["prompt"].get<std::string>()] = parsed;
    }
    return lines;
}

// The same of a run that draws everything; the name decides as little as the content lets it.
std::map<std::string, json> drawn(const std::string& name, std::string_view content, const std::vector<std::string>& more = {}) {
    const TempFolder folder;
    const Outcome run = run_batch(write_file(folder / name, content), folder / "out", more);
    INFO(name << ": " << run.err);
    REQUIRE(run.code == 0);
    return manifest_of(folder / "out");
}

TEST_CASE("prompt files: tables as Excel, pandas and R write them") {
    for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
             {"bom-quoted.csv", "\xEF\xBB\xBF\"prompt\",\"seed\"\r\n\"a cat\",\"5\"\r\n"},
             {"trailing.csv", "prompt,seed,,\na cat,5,,\n"},
             {"trailing2.csv", "prompt,seed\na cat,5,,\n"},
             {"caps.CSV", "Prompt,Seed\na cat,5\n"},
             {"semicolon.csv", "prompt;seed\na cat;5\n"},
             {"sep.csv", "sep=;\nprompt;seed\na cat;5\n"}}) {
        const auto lines = drawn(name, content);
        REQUIRE(lines.size() == 1);
        CHECK(lines.at("a cat")["seed"] == 5);
    }
    CHECK(drawn("extra.csv", "prompt,category\na cat,animals\n").at("a cat")["extra"] == json{{"category", "animals"}});
    const auto pandas = drawn("pandas.csv", "prompt,seed\na cat,42.0\na dog,\n", {"--seed", "7"});
    CHECK(pandas.at("a cat")["seed"] == 42);
    CHECK(pandas.at("a dog")["seed"] == 7);
    CHECK(drawn("parti.tsv", "Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tx\n").at("bond")["extra"].size() == 3);
    CHECK(drawn("quote.tsv", "prompt\na 12\" pizza\n").contains("a 12\" pizza"));
    CHECK(drawn("named.csv", "caption,prompt\na cat,no\n", {"--prompt-column", "caption"}).contains("a cat"));
    const auto lines =
        drawn("a.jsonl",
              "{\"prompt\":\"a\",\"seed\":42.0}\n{\"prompt\":\"b\",\"seed\":1e3}\n{\"prompt\":\"c\",\"seed\":\"42\"}\n"
              "{\"prompt\":\"d\",\"category\":{\"x\":[1]}}\n");
    CHECK(lines.at("a")["seed"] == 42);
    CHECK(lines.at("b")["seed"] == 1000);
    CHECK(lines.at("c")["seed"] == 42);
    CHECK(lines.at("d")["extra"]["category"]["x"] == json{1});
}

TEST_CASE("prompt files: the format is that of the content, of a link's and standard input's, too") {
    CHECK(drawn("a.json", "[\n  {\"prompt\": \"a cat\", \"seed\": 1},\n  {\"prompt\": \"a dog\", \"seed\": 2}\n]\n").size() == 2);
    CHECK(drawn("a.JSONL", "{\"prompt\": \"a cat\", \"seed\": 1}\n").at("a cat")["seed"] == 1);
    CHECK(drawn("cr.txt", "a cat\rdog\r").size() == 2);
    CHECK(drawn("utf16.txt", std::string_view("\xFF\xFE"
                                              "a\0\xA2\x7E\n\0",
                                              8))
              .contains("a红"));
    const TempFolder folder;
    write_file(folder / "a.JSONL", "{\"prompt\": \"a cat\", \"seed\": 1}\n");
    fs::create_symlink("a.JSONL", folder / "latest");
    REQUIRE(run_batch(folder / "latest", folder / "out").code == 0);
    CHECK(manifest_of(folder / "out").at("a cat")["seed"] == 1);

    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    const fs::path out = folder / "stdin";
    Process run(batch_arguments("-", out.string()), {.input = pipe[0]});
    ::close(pipe[0]);
    const auto send = [&](std::string_view text) {
        REQUIRE(::write(pipe[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    };
    send("{\"prompt\": \"a cat\",");
    send(" \"seed\": 1}\n");
    CHECK(run.wait_until([&] { return lines_in(out / "journal.jsonl") == 1; }));  // drawn as it comes
    send("{\"prompt\": \"a dog\", \"seed\": 2}");
    ::close(pipe[1]);
    CHECK(run.wait().code == 0);
    CHECK(manifest_of(out).at("a dog")["seed"] == 2);
}

TEST_CASE("prompt files: what looks like another format is refused by the flag that helps, and nothing is drawn") {
    const TempFolder folder;
    for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{{"a.yaml", "prompts:\n  - a cat\n"},
                                                                                        {"b.txt", "{\"prompt\": \"a cat\"}\n"},
                                                                                        {"c.txt", "prompt,seed\na cat,1\n"},
                                                                                        {"d.csv", "[{\"prompt\": \"a\"}]"}}) {
        const Outcome run = run_batch(write_file(folder / name, content), folder / "out");
        INFO(name << ": " << run.err);
        CHECK(run.code == 3);
        CHECK(run.err.starts_with("t2i: error: --input-format: "));
        CHECK(!fs::exists(folder / "out"));
    }
    const Outcome told = run_batch(folder / "c.txt", folder / "told", {"--input-format", "csv"});
    CHECK(told.code == 0);
    CHECK(manifest_of(folder / "told").at("a cat")["seed"] == 1);
    const Outcome encoding = run_batch(folder / "b.txt", folder / "out", {"--encoding", "klingon"});
    CHECK(encoding.code == 2);
    CHECK(encoding.err.starts_with("t2i: error: --encoding: "));
    CHECK(run_batch(write_file(folder / "e.txt", "a cat\n"), folder / "out", {"--prompt-column", "x"}).code == 2);
    const Outcome column = run_batch(write_file(folder / "f.csv", "caption,x\na,b\n"), folder / "out");
    CHECK(column.code == 3);
    CHECK(column.err.starts_with("t2i: error: --prompt-column: "));
    CHECK(!fs::exists(folder / "out"));
}

TEST_CASE("prompt files: AUTOMATIC1111's flag lines and a pasted infotext") {
    const TempFolder folder;
    const std::string file = write_file(
        folder / "a.txt",
        "--prompt \"photo of sunset\" --negative_prompt \"orange, pink\" --sampler_name \"DPM++ 2M Karras\" --steps 3 "
        "--batch_size 2 "
        "--cfg_scale 3 --seed 9\n"
        "--prompt \"photo of winter mountains\" --steps 2 --sampler_name \"DDIM\"\n"
        "--prompt \"x\" --sampler_name \"Euler a\"\n"
        "--prompt \"y\" --n_iter 2 --batch_size 2\n"
        "--prompt \"z\" --do_not_save_grid true\n"
        "--prompt a cat's toy --seed 3\n\n"
        "a fox\nNegative prompt: dog\nSteps: 2, Sampler: Euler a, CFG scale: 2, Seed: 5, Size: 64x64, Model hash: abc\n");
    const Outcome run = run_batch(file, folder / "out");
    INFO(run.err);
    REQUIRE(run.code == 0);
    CHECK(pictures_in(folder / "out").size() == 2 + 1 + 1 + 4 + 1 + 1 + 1);
    CHECK(run.err.find("options that say nothing here were passed over: do_not_save_grid (1 line)\n") != std::string::npos);
    const auto lines = manifest_of(folder / "out");
    CHECK(lines.at("photo of sunset")["sampler_name"] == "dpm++2m");
    CHECK(lines.at("photo of sunset")["scheduler"] == "karras");
    CHECK(lines.at("photo of winter mountains")["sampler_name"] == "ddim");
    CHECK(lines.at("x")["sampler_name"] == "euler_a");
    CHECK(lines.at("a cat's toy")["seed"] == 3);
    CHECK(lines.at("a fox")["negative_prompt"] == "dog");
    CHECK(lines.at("a fox")["seed"] == 5);
    // On the command line, too; and the same picture as by our own names.
    const auto draw = [&](const std::string& name, const std::vector<std::string>& flags) {
        std::vector<std::string> arguments{"-m", tiny_model().string(), "--steps",      "3", "-p", "a",
                                           "-o", folder / name,         "--no-metadata"};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        REQUIRE(run_t2i(arguments).code == 0);
        return file_text(folder / name);
    };
    CHECK((draw("a.png", {"--sampling-method", "DPM++ 2M Karras"}) ==
           draw("b.png", {"--sampling-method", "dpm++2m", "--scheduler", "karras"})));
}

TEST_CASE("prompt files: two thousand rows of a spreadsheet, pandas, R and flag lines are all drawn") {
    const auto rows = table_rows(2000);
    const TempFolder folder;
    const auto run = [&](const std::string& name, const std::string& content, std::vector<std::string> more) {
        more.insert(more.end(), {"--log-format", "json"});
        return run_batch(write_file(folder / name, content), folder / ("out-" + name), more);
    };
    for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{
             {"semicolon.csv", excel_semicolon_csv(rows)}, {"unicode.tsv", excel_unicode_text(rows)}, {"r2.csv", r_csv2(rows)}}) {
        const Outcome dry = run(name, content, {"--dry-run"});
        INFO(name << ": " << dry.err);
        REQUIRE(dry.code == 0);
        const json found = json::parse(dry.out);
        CHECK(found["lines"] == 2000);
        CHECK(found["bad_lines"] == 0);
        CHECK(found["to_make"] == 2000);
    }
    for (const auto& [name, content] : std::vector<std::pair<std::string, std::string>>{{"excel.csv", excel_csv(rows)},
                                                                                        {"pandas.csv", pandas_csv(rows)},
                                                                                        {"r.csv", r_csv(rows)},
                                                                                        {"flags.txt", flag_lines(rows)}}) {
        // Small pictures, and two files rather than two thousand to wait for.
        const Outcome made = run(name, content, {"--format", "webdataset", "-W", "16", "-H", "16", "--cfg-scale", "1"});
        INFO(name << ": " << made.err.substr(0, 2000));
        CHECK(made.code == 0);
        const auto lines = manifest_of(folder / ("out-" + name));
        REQUIRE(lines.size() == 2000);
        for (const TableRow& row : rows) {
            std::string prompt = row.prompt;
            if (name == "flags.txt") std::ranges::replace(prompt, '\n', ' ');
            REQUIRE(lines.at(prompt)["seed"] == row.seed.value_or(42));
        }
    }
}

}  // namespace
}  // namespace t2i::test
