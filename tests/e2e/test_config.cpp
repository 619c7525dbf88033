// --config: TOML as its specification has it, unknown keys and values of another kind refused.
#include <fstream>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome draw(const std::string& config, const TempFolder& folder, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{
        "--config", write_file(folder / "t2i.toml", config), "-m", tiny_model().string(), "-o", folder / "a.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_t2i(arguments);
}

// The parameters of the picture that it draws.
std::string drawn(const std::string& config, std::vector<std::string> more = {}) {
    const TempFolder folder;
    const Outcome run = draw(config, folder, std::move(more));
    INFO(config << run.err);
    REQUIRE(run.code == 0);
    return run_t2i({"inspect", folder / "a.png"}).out;
}

TEST_CASE("config: strings, numbers and line ends of TOML") {
    CHECK(drawn("prompt = \"\"\"\na cat\nand dog\"\"\"\nsteps=1\n").starts_with("a cat\nand dog\nSteps: 1,"));
    CHECK(drawn("prompt = \"one\\ttwo\\nthree \\u7ea2\"\nsteps=1\n").starts_with("one\ttwo\nthree 红\n"));
    CHECK(drawn("prompt = 'a \\ cat # no comment'  # a comment\nsteps=1\n").starts_with("a \\ cat # no comment\n"));
    CHECK(drawn("# 红 ﻻ\nprompt = \"\"\"\\\n  é、红苹果 `` `0`\"\"\"\nsteps=1\n").starts_with("é、红苹果 `` `0`\n"));
    CHECK(drawn("\xEF\xBB\xBFprompt = \"cat\"\r\nsteps=1\r\n").starts_with("cat\nSteps: 1,"));
    const std::string numbers = drawn(
        "prompt = 'a'\nseed = 1_000\nsteps=0x2\ncfg_scale = 2.50\nnegative-prompt = \"dog\"\nsampling_method = \"Euler a\"\n");
    for (const char* part : {"Seed: 1000,", "Steps: 2,", "CFG scale: 2.5,", "Negative prompt: dog\n", "Sampler: euler_a,"})
        CHECK(numbers.find(part) != std::string::npos);
    CHECK(drawn("prompt = 'a'\nsteps=1\nseed = \"18446744073709551615\"\n").find("Seed: 18446744073709551615,") !=
          std::string::npos);
    CHECK(drawn("prompt = 'a'\nsteps=3\nno-metadata = false\nquiet = true\n", {"--steps", "1", "-p", "b"})
              .starts_with("b\nSteps: 1,"));
    CHECK(drawn("prompt = 'a'\nsteps=1\nno-metadata = true\n") == "64x64 PNG without parameters\n");
}

TEST_CASE("config: what is wrong is named with its line, and nothing is drawn") {
    struct Bad {
        const char* config;
        int code;
        const char* named;
        int lines = 1;  // what runs where is said before a prompt is looked at
    };
    for (const Bad& bad : {
             Bad{"prompt = \"cat\"\nstepz = 3\n", 2, "t2i.toml, line 2: unknown key \"stepz\"; did you mean steps?"},
             Bad{"prompt = \"cat\"\n[batch]\nsteps = 3\n", 2, "line 2: unknown key \"batch\""},
             Bad{"prompt = \"cat\"\nconfig = \"x\"\n", 2, "unknown key \"config\""},
             Bad{"prompt = \"cat\"\nsteps = \"many\"\n", 2, "line 2: steps: is a whole number"},
             Bad{"prompt = \"cat\"\nsteps = 2.0\n", 2, "steps: is a whole number"},
             Bad{"prompt = \"cat\"\nsteps = [1]\n", 2, "steps: takes one value, not a list"},
             Bad{"prompt = \"cat\"\nsteps = 0\n", 2, "--steps: 0 is out of range [1, 1000]"},
             Bad{"prompt = \"cat\"\nquiet = 1\n", 2, "quiet: is true or false"},
             Bad{"prompt = \"a\\u0000b\"\n", 2, "line 1: prompt: holds a NUL"},
             Bad{"prompt = true\n", 2, "prompt: is a text"},
             Bad{"prompt = 2020-01-01\n", 2, "prompt: is a text"},
             Bad{"prompt = \"cat\"\nguidance = {x = 1}\n", 2, "unknown key \"guidance\""},
             Bad{"prompt = \"cat\"\ncfg-scale = 1\ncfg_scale = 2\n", 2, "is set twice"},
             Bad{"prompt = \"cat\"\nseed = 99999999999999999999\n", 3, "line 2: is not valid TOML"},
             Bad{"prompt = 1979-05-27Tx\n", 3, "is not valid TOML"},
             Bad{"prompt = cat\n", 3, "line 1: is not valid TOML"},
             Bad{"prompt: cat\n", 3, "is not valid TOML"},
             Bad{"prompt = \"\xFF\"\n", 3, "--prompt: is not UTF-8", 2},
             Bad{"prompt = \"a\"\n红 = 1\n", 3, "line 2: is not valid TOML"},
             Bad{"prompt = \"a\"\n\"红\" = 1\n", 2, "line 2: unknown key \"红\""},
         }) {
        const TempFolder folder;
        const Outcome run = draw(bad.config, folder);
        INFO(bad.config << run.err);
        CHECK(run.code == bad.code);
        CHECK(run.err.find(bad.named) != std::string::npos);
        CHECK(std::count(run.err.begin(), run.err.end(), '\n') == bad.lines);
        CHECK(!fs::exists(folder / "a.png"));
    }
    const TempFolder folder;
    const Outcome none = run_t2i({"--config", folder / "none.toml", "-p", "a"});
    CHECK(none.code == 3);
    CHECK(none.err.find("none.toml") != std::string::npos);
    CHECK(run_t2i({"--config", "/dev/zero", "-p", "a"}).code == 3);
}

TEST_CASE("config: t2i batch has it, too") {
    const TempFolder folder;
    const std::string file = write_file(folder / "p.txt", "a cat\n");
    const std::string good = write_file(folder / "good.toml",
                                        "FILE = \"" + file + "\"\nseed = 5\nscheduler = 'karras'\nengine-batch = 2\n"),
                      bad = write_file(folder / "bad.toml", "inputformat = 'txt'\n");
    const std::vector<std::string> rest{"-m", tiny_model().string(), "--steps", "1", "-o", folder / "out"};
    const auto run = [&](std::vector<std::string> more) {
        more.insert(more.begin(), "batch");
        more.insert(more.end(), rest.begin(), rest.end());
        return run_t2i(more);
    };
    const Outcome refused = run({file, "--config", bad});
    CHECK(refused.code == 2);
    CHECK(refused.err.find("unknown key \"inputformat\"; did you mean input-format?") != std::string::npos);
    CHECK(!fs::exists(folder / "out"));
    const Outcome made = run({"--config", good});
    INFO(made.err);
    CHECK(made.code == 0);
    CHECK(file_text(folder / "out/manifest.jsonl").find("\"seed\":5,") != std::string::npos);
    CHECK(file_text(folder / "out/manifest.jsonl").find("\"scheduler\":\"karras\"") != std::string::npos);
}

}  // namespace
}  // namespace t2i::test
