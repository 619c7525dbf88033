// What the program says: help, hints, numbers, exit codes of what it only describes.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/place.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Exit code and standard error with standard output going nowhere: every write to it fails.
Outcome run_with_full_output(const std::vector<std::string>& arguments) {
    const TempFolder folder;
    std::string line = "'" + program().string() + "'";
    for (const auto& argument : arguments) line += " '" + argument + "'";
    line += " >/dev/full 2>'" + folder / "err" + "'";
    const int status = std::system(line.c_str());
    return {WEXITSTATUS(status), "", file_text(folder / "err")};
}

TEST_CASE("words: help of every command, by three ways, names all commands and what is replaced") {
    const Outcome help = run_t2i({"help"});
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK(help.out == run_t2i({"--help"}).out);
    for (const char* command : {"batch", "inspect", "verify", "bench", "doctor", "help", "completion", "man"}) {
        CHECK(contains(help.out, std::string("\n  ") + command + " "));
        const Outcome one = run_t2i({"help", command});
        CHECK(one.code == 0);
        CHECK(one.out == run_t2i({command, "--help"}).out);
    }
    CHECK(contains(help.out, "Files that exist are replaced"));
    CHECK(contains(help.out, "%%"));
    CHECK(run_t2i({"help", "bach"}).code == 2);
    CHECK(contains(run_t2i({"help", "bach"}).err, "did you mean batch?"));
}

TEST_CASE("words: the help of batch says what people stumble over") {
    const std::string help = run_t2i({"batch", "--help"}).out;
    CHECK(contains(help, "over 10,000 pictures they go to 256 sub-folders"));
    CHECK(contains(help, "lines that begin with #"));
    CHECK(contains(help, "failed.jsonl"));
    if (!std::filesystem::exists(source_folder() / "src/batch/README.md")) return;  // an archive has no sources
    const std::string readme = file_text((source_folder() / "src/batch/README.md").string());
    CHECK(contains(readme, "sub-folder"));
    CHECK(contains(readme, "`#`"));
    // Every flag is in the room's README, which names none that is gone.
    for (auto at = help.find("--"); at != std::string::npos; at = help.find("--", at + 1)) {
        const std::string flag = help.substr(at, help.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at) - at);
        if (flag.size() == 2 || (help[at - 1] != ' ' && help[at - 1] != ',')) continue;
        INFO(flag);
        CHECK(contains(readme, "`" + flag));
    }
    for (auto at = readme.find("`--"); at != std::string::npos; at = readme.find("`--", at + 1)) {
        const std::string flag = readme.substr(at + 1, readme.find_first_of(" `", at + 1) - at - 1);
        INFO(flag);
        CHECK(contains(help, flag));
    }
}

TEST_CASE("words: a mistake in a flag or a command is one line with what was meant, and exit code 2") {
    const auto error_of = [](const std::vector<std::string>& arguments) {
        const Outcome run = run_t2i(arguments);
        CHECK(run.code == 2);
        CHECK(run.out.empty());
        CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
        return run.err;
    };
    CHECK(error_of({"-p", "cat", "--negative", "dog"}) ==
          "t2i: error: unknown flag --negative; did you mean --negative-prompt?\n");
    CHECK(error_of({"-p", "cat", "-P", "x"}) == "t2i: error: unknown flag -P; did you mean -p?\n");
    CHECK(error_of({"-p", "cat", "--cfg", "2"}) == "t2i: error: unknown flag --cfg; did you mean --cfg-scale?\n");
    CHECK(error_of({"-p", "cat", "-steps", "2"}) == "t2i: error: unknown flag -steps; did you mean --steps?\n");
    CHECK(error_of({"-p", "cat", "--overwrite"}) == "t2i: error: unknown flag --overwrite; --help lists them\n");
    CHECK(error_of({"benhc"}) == "t2i: error: unknown command \"benhc\"; did you mean bench?\n");
    CHECK(contains(error_of({"a red apple"}), "-p"));
    CHECK(contains(error_of({"-p", "a", "red", "apple"}),
                   "unexpected argument \"red\"; a prompt of several words needs quotation marks"));
    CHECK(error_of({"-p", "cat", "--" + std::string(5000, 'x')}).size() < 200);
}

TEST_CASE("words: a long path in a message is cut in its middle") {
    const TempFolder folder;
    const std::string parent = folder / std::string(200, 'x');
    const Outcome run = run_t2i({"-p", "a", "-m", tiny_model().string(), "-o", parent + "/" + std::string(200, 'y') + "/a.png"});
    CHECK(run.code == 3);
    CHECK(run.err.size() < 300);
    CHECK(contains(run.err, "xxx…"));
    CHECK(run.err.ends_with("yyy: output folder does not exist\n"));
}

TEST_CASE("words: one is one and two are two") {
    const TempFolder folder;
    const std::string one = write_file(folder / "one.txt", "a cat\n"), two = write_file(folder / "two.txt", "a cat\na dog\n");
    CHECK(contains(run_batch(one, folder / "a").err, "\n1 picture made in "));
    const Outcome more = run_batch(two, folder / "a");
    CHECK(contains(more.err, "\n1 picture made in "));
    CHECK(contains(more.err, ", 1 was done already"));
    CHECK(contains(run_batch(two, folder / "b").err, "\n2 pictures made in "));
    CHECK(contains(run_batch(two, folder / "b").err, ", 2 were done already"));
    CHECK(run_t2i({"batch", "--merge", "-o", folder / "a"}).out == "1 journal merged: 2 pictures, 0 failed\n");
}

TEST_CASE("words: a dry run ends with the exit code of its run") {
    const TempFolder folder;
    const std::string bad = write_file(folder / "bad.jsonl", "{\"prompt\": \"a cat\"}\n{\"promt\": 1}\n");
    const std::string good = write_file(folder / "good.txt", "a cat\n");
    fs::create_symlink("nowhere", folder / "dangling");
    const std::vector<std::string> outs{folder / "out", folder / "none/out", folder / "dangling", good};
    for (const auto& file : {good, bad, folder / "missing.txt"})
        for (const auto& out : outs) {
            INFO(file << " to " << out);
            const Outcome dry = run_batch(file, out, {"--dry-run"});
            const Outcome real = run_batch(file, out);
            CHECK(dry.code == real.code);
            if (real.code == 3) CHECK(dry.err == real.err);
            if (out == outs.front()) fs::remove_all(out);
        }
    CHECK(run_batch(bad, folder / "out", {"--dry-run"}).code == 5);
    CHECK_FALSE(fs::exists(folder / "out"));
    CHECK(run_batch(good, folder / "dangling").err ==
          "t2i: error: " + folder / "dangling" + ": is a link to \"nowhere\", which is not there\n");
    CHECK(run_batch(good, good).err == "t2i: error: " + good + ": is a file, not a folder\n");
}

TEST_CASE("words: a dry run warns when the disk is too small for the pictures, and a full one says so") {
    const TempFolder folder;
    const std::string small = folder / "small";
    fs::create_directory(small);
    if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=32k") != 0) {
        WARN("mounting a small disk needs root's rights: skipped");
        return;
    }
    std::string prompts;
    for (int i = 0; i < 40; ++i) prompts += "cat " + std::to_string(i) + "\n";
    const std::string file = write_file(folder / "a.txt", prompts);
    const Outcome dry = run_batch(file, small + "/out", {"--dry-run"});
    const Outcome run = run_batch(file, small + "/out");
    REQUIRE(::umount(small.c_str()) == 0);
    CHECK(dry.code == 3);  // as the run below
    CHECK(contains(dry.err, "t2i: warning: the pictures take more room than the disk has: about "));
    CHECK(run.code == 3);
    CHECK(contains(run.err, "No space left on device"));
    const Outcome roomy = run_batch(file, folder / "out", {"--dry-run"});
    CHECK_FALSE(contains(roomy.err, "warning"));
}

TEST_CASE("words: a side file never replaces what the command reads or makes") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "a.txt", "a cat\n"), picture = folder / "z.png";
    const std::string config = write_file(folder / "c.toml", "steps = 1\n"), out = folder / "out";
    REQUIRE(run_batch(prompts, out).code == 0);
    const auto refused = [&](const std::vector<std::string>& arguments, const std::string& says) {
        const Outcome run = run_t2i(arguments);
        INFO(run.err);
        CHECK(run.code == 2);
        CHECK(contains(run.err, says));
    };
    const std::string model = tiny_model().string();
    refused({"-m", model, "-p", "a", "-o", picture, "--trace", folder / "./z.png"}, "is a picture's file; name another file");
    CHECK_FALSE(fs::exists(picture));
    refused({"-m", model, "-p", "a", "-o", picture, "--config", config, "--trace", config}, "is the file of --config");
    refused(batch_arguments(prompts, out, {"--metrics-file", prompts}), "is the prompt file");
    refused(batch_arguments(prompts, out, {"--metrics-file", out + "/journal.jsonl"}), "is a file of the run's own");
    refused({"bench", "--json", folder / "b.json", "--trace", folder / "b.json"}, "is the file of --json");
    CHECK(file_text(prompts) == "a cat\n");
    CHECK(file_text(config) == "steps = 1\n");
    CHECK(run_t2i({"batch", "--verify", "-o", out}).code == 0);
}

TEST_CASE("words: a dry run fails where its run fails before it begins, and with the same words") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "a.txt", "a cat\n");
    const std::vector<std::vector<std::string>> bad{
        {"--sampling-method", "bogus"}, {"--cfg-scale", "500"}, {"-W", "100"}, {"-n", "\xff"}};
    for (const auto& flags : bad) {
        std::vector<std::string> dry = flags;
        dry.emplace_back("--dry-run");
        const Outcome run = run_batch(prompts, folder / "out", flags), rehearsal = run_batch(prompts, folder / "out", dry);
        INFO(flags.front() << ": " << run.err);
        CHECK((run.code == 2 || run.code == 3));
        CHECK(rehearsal.code == run.code);
        CHECK(rehearsal.err == run.err);
        CHECK_FALSE(contains(run.err, "internal"));
    }
}

TEST_CASE("words: a value that is missing, or given twice, is said in plain words") {
    const auto said = [](const std::vector<std::string>& arguments) {
        const Outcome run = run_t2i(arguments);
        CHECK(run.code == 2);
        return run.err;
    };
    CHECK(said({"-p", "cat", "-o", "a.png", "--steps"}) == "t2i: error: --steps needs a value\n");
    CHECK(said({"-p", "cat", "--steps", "3", "--steps", "4"}) == "t2i: error: --steps is given more than once\n");
    CHECK(said({}) == "t2i: error: --prompt is required; --help has all flags\n");
}

TEST_CASE("words: names that standard output does not take end in exit code 3 and one line, and the pictures stay") {
    const TempFolder folder;
    const std::string line = "t2i: error: standard output cannot be written\n",
                      file = write_file(folder / "a.txt", "a cat\na dog\n");
    const Outcome one =
        run_with_full_output({"-q", "-p", "a", "-m", tiny_model().string(), "--steps", "1", "-o", folder / "a.png"});
    CHECK(one.code == 3);
    CHECK(one.err == line);
    CHECK(fs::exists(folder / "a.png"));
    const Outcome batch = run_with_full_output(batch_arguments(file, folder / "out", {"-q"}));
    CHECK(batch.code == 3);
    CHECK(batch.err == line);
    CHECK(pictures_in(folder / "out").size() == 2);
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"help"},
                                                      {"man"},
                                                      {"completion", "bash"},
                                                      {"--sampling-method", "list"},
                                                      {"inspect", folder / "a.png"},
                                                      {"--version"}}) {
        const Outcome run = run_with_full_output(arguments);
        INFO(arguments.front());
        CHECK(run.code == 3);
        CHECK(run.err == line);
    }
}

}  // namespace
}  // namespace t2i::test
