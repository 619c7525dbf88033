// What a plain call of diffusers does and t2i does when asked to: --clean-caption and --resolution-binning, from outside.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/picture_read.h"
#include "support/catch.h"
#include "support/fixture.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

// A model with a table of sizes: of 256 pixels.
const std::string& binned_model() {
    static const TempFolder holder;
    static const std::string path = [] {
        write_pipeline(read_manifest("binning")["pipeline"], holder.path() / "pixart-256");
        return (holder.path() / "pixart-256").string();
    }();
    return path;
}

std::string parameters_of(const std::string& file) {
    const PictureInfo info = read_picture_info(read_file(file), file);
    return info.parameters() ? *info.parameters() : "";
}

Outcome draw(const std::string& model, const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"-m", model, "--steps", "1", "--dtype", "f32", "-o", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_t2i(arguments);
}

}  // namespace

TEST_CASE("plain calls: both flags are in the parameters, and verify makes the picture again") {
    const TempFolder folder;
    const std::string file = folder / "a.png";
    const Outcome run = draw(binned_model(), file,
                             {"-p", "a <b>red</b> apple", "-W", "75", "-H", "100", "--clean-caption", "--resolution-binning"});
    INFO(run.err);
    REQUIRE(run.code == 0);
    const PictureInfo info = read_picture_info(read_file(file), file);
    CHECK(info.width == 75);
    CHECK(info.height == 100);
    const std::string parameters = parameters_of(file);
    CHECK(parameters.starts_with("a <b>red</b> apple\n"));
    CHECK(contains(parameters, "Size: 75x100"));
    CHECK(contains(parameters, "Clean caption: true, Resolution binning: true"));
    const Outcome again = run_t2i({"verify", "-m", binned_model(), file});
    INFO(again.err);
    CHECK(again.out == file + ": the same\n");
}

TEST_CASE("plain calls: cleaning draws what the cleaned prompt draws, and is off unasked") {
    const TempFolder folder;
    const auto pixels = [&](const std::string& prompt, std::vector<std::string> more) {
        more.insert(more.end(), {"-p", prompt, "--no-metadata"});
        const Outcome run = draw(tiny_model().string(), folder / "a.png", more);
        INFO(run.err);
        REQUIRE(run.code == 0);
        return file_text(folder / "a.png");
    };
    const std::string plain = pixels("a red apple", {});
    CHECK((pixels("A <b>red</b>+apple, 1920x1080", {"--clean-caption"}) == plain));
    CHECK((pixels("a <i>red</i> apple", {"--clean-caption"}) == plain));
    CHECK((pixels("a <i>red</i> apple", {}) != plain));
    CHECK((pixels("a red apple", {"-n", "a <i>dog</i>", "--clean-caption"}) == pixels("a red apple", {"-n", "a dog"})));
}

TEST_CASE("plain calls: what cannot be is said in one line, with the flag") {
    const TempFolder folder;
    const auto error_of = [&](const std::string& model, const std::vector<std::string>& more, int code) {
        const Outcome run = draw(model, folder / "a.png", more);
        INFO(run.err);
        CHECK(run.code == code);
        CHECK_FALSE(std::filesystem::exists(folder / "a.png"));
        return run.err.substr(run.err.rfind('\n', run.err.size() - 2) + 1);
    };
    const std::string tiny = tiny_model().string(), classes = tiny_class_model().string();
    CHECK(error_of(tiny, {"-p", "a", "--resolution-binning"}, 2) ==
          "t2i: error: --resolution-binning: this model has no table of sizes to draw at; PixArt has, of 256 to 2048 pixels\n");
    CHECK(contains(error_of(classes, {"-p", "207", "--resolution-binning"}, 2), "--resolution-binning: this model has no table"));
    CHECK(contains(error_of(classes, {"-p", "207", "--clean-caption"}, 2),
                   "--clean-caption: prompts of this model are names of classes"));
    CHECK(contains(error_of(binned_model(), {"-p", "a", "-W", "250"}, 2),
                   "--width: 250 is not divisible by 16 (nearest: 240, 256; with resolution binning, any)"));
    CHECK(contains(error_of(tiny, {"-p", "a <![x]>", "--clean-caption"}, 3), "--prompt: holds \"<![\""));
    CHECK(contains(error_of(tiny, {"-p", "a", "-n", "<![x]>", "--clean-caption"}, 3), "--negative-prompt: holds \"<![\""));
}

TEST_CASE("plain calls: a prompt of which cleaning leaves nothing is told") {
    const TempFolder folder;
    const Outcome run = draw(tiny_model().string(), folder / "a.png", {"-p", "红苹果", "--clean-caption"});
    CHECK(run.code == 0);
    CHECK(contains(run.err, "reads an empty prompt: its cleaning left nothing of it"));
    write_file_atomically(folder / "p.txt", "红苹果\na cat\n");
    const Outcome batch = run_batch(folder / "p.txt", folder / "out", {"--clean-caption"});
    CHECK(batch.code == 0);
    CHECK(contains(batch.err, "cleaning left nothing of 1 prompt"));
}

TEST_CASE("plain calls: a line of a prompt file says its own, and both are part of a picture's identity") {
    const TempFolder folder;
    const std::string file = folder / "prompts.jsonl", out = folder / "out";
    write_file_atomically(file, R"({"id": "a", "prompt": "a <b>cat</b>", "clean_caption": true}
{"id": "b", "prompt": "a <b>cat</b>", "clean_caption": "no"}
{"id": "c", "prompt": "a <b>cat</b>"}
{"id": "d", "prompt": "a <b>cat</b>", "clean_caption": "perhaps"}
)");
    const Outcome run = run_batch(file, out, {"--clean-caption"});
    CHECK(run.code == 5);
    CHECK(contains(file_text(out + "/failed.jsonl"), "clean_caption: \\\"perhaps\\\" is neither true nor false"));
    const auto says = [&](const char* id) { return contains(parameters_of(out + "/" + id + ".png"), "Clean caption: true"); };
    CHECK(says("a"));
    CHECK_FALSE(says("b"));
    CHECK(says("c"));
    std::size_t told = 0;
    for (const auto& line : json_lines(out + "/manifest.jsonl")) told += line.value("clean_caption", false) ? 1 : 0;
    CHECK(told == 2);
    const Outcome other = run_batch(file, out);
    CHECK(other.code == 5);
    CHECK(contains(file_text(out + "/failed.jsonl"), "was made with clean_caption true, here false"));
}

}  // namespace t2i::test
