// A class-conditional model from outside: its prompt is a class.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/fixture.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome draw(const std::string& prompt, const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"-m", tiny_class_model().string(), "--steps", "3", "-p", prompt, "-o", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_t2i(arguments);
}

// The picture's bytes without its metadata, which hold the prompt as it was given.
std::string pixels_of(const std::string& prompt, const std::vector<std::string>& more = {}) {
    const TempFolder folder;
    auto with = more;
    with.emplace_back("--no-metadata");
    const Outcome run = draw(prompt, folder / "a.png", with);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return file_text(folder / "a.png");
}

}  // namespace

TEST_CASE("classes: a name in any case and its number draw the same picture, other classes others") {
    const auto dog = pixels_of("golden retriever");
    CHECK((dog == pixels_of("Golden Retriever")));
    CHECK((dog == pixels_of("207")));
    CHECK((dog != pixels_of("tench")));
    CHECK((pixels_of("tench") == pixels_of("Tinca tinca")));
    CHECK((pixels_of("Cardigan") != pixels_of("cardigan")));
}

TEST_CASE("classes: the negative prompt is another class, and none is the unconditional one") {
    const auto dog = pixels_of("207");
    CHECK((dog == pixels_of("207", {"-n", "1000"})));
    CHECK((dog != pixels_of("207", {"-n", "tench"})));
    CHECK((pixels_of("", {"--cfg-scale", "1"}) == pixels_of("1000", {"--cfg-scale", "1"})));
}

TEST_CASE("classes: a picture does not depend on how many are made together") {
    const TempFolder folder;
    for (const char* together : {"1", "3"})
        REQUIRE(draw("207", folder / (std::string("by") + together + "_%d.png"), {"-b", "3", "--engine-batch", together}).code ==
                0);
    for (const char* i : {"0", "1", "2"})
        CHECK((file_text(folder / (std::string("by1_") + i + ".png")) == file_text(folder / (std::string("by3_") + i + ".png"))));
}

TEST_CASE("classes: the parameters chunk and the folder as inspect prints them") {
    const TempFolder folder;
    REQUIRE(draw("golden retriever", folder / "a.png", {"-s", "9", "-n", "crane"}).code == 0);
    CHECK(run_t2i({"inspect", folder / "a.png"})
              .out.starts_with(
                  "golden retriever\nNegative prompt: crane\nSteps: 3, Sampler: ddim, CFG scale: 4, Seed: 9, Size: 64x64, "));
    const Outcome inspect = run_t2i({"inspect", tiny_class_model().string()});
    CHECK(inspect.code == 0);
    for (const char* part : {"DiTTransformer2DModel", "size           64x64; multiples of 16\n", "50 steps, cfg-scale 4",
                             "name or the number of a class", "class 207      \"golden retriever\""})
        CHECK(inspect.out.find(part) != std::string::npos);
}

TEST_CASE("classes: an unknown one is one line with the nearest names, and no file") {
    const TempFolder folder;
    const auto refused = [&](const std::string& prompt, const std::vector<std::string>& more, const std::string& line) {
        const Outcome run = draw(prompt, folder / "a.png", more);
        INFO(run.err);
        CHECK(run.code == 2);
        CHECK(run.err.ends_with("t2i: error: " + line + "\n"));
        CHECK(fs::is_empty(folder.path()));
    };
    refused("retriever", {}, "--prompt: no class \"retriever\"; nearest: \"golden retriever\"");
    refused("1001", {}, "--prompt: class 1001 is out of range [0, 1000]");
    refused("207", {"-n", "tensh"}, "--negative-prompt: no class \"tensh\"; nearest: \"tench\"");
    CHECK(draw("caf\xe9", folder / "a.png").code == 3);
}

TEST_CASE("classes: a prompt file draws what it can and lists the classes that are unknown") {
    const TempFolder folder;
    write_file(folder / "a.txt", "207\ntench\nspaceship\n--prompt crane --negative_prompt tench --seed 3\n");
    const Outcome run = run_t2i({"batch", folder / "a.txt", "-o", folder / "out", "-m", tiny_class_model().string(), "--steps",
                                 "2", "--engine-batch", "4"});
    INFO(run.err);
    CHECK(run.code == 5);
    std::size_t pictures = 0;
    for (const auto& entry : fs::directory_iterator(folder / "out"))
        if (entry.path().extension() == ".png") ++pictures;
    CHECK(pictures == 3);
    CHECK(file_text(folder / "out/failed.jsonl").find("no class \\\"spaceship\\\"") != std::string::npos);
}

TEST_CASE("classes: a folder whose id2label is broken names it") {
    const TempFolder folder;
    const fs::path model = folder.path() / "model";
    fs::copy(tiny_class_model(), model, fs::copy_options::recursive);
    auto index = nlohmann::json::parse(file_text((model / "model_index.json").string()));
    const auto refused = [&](const nlohmann::json& id2label, const std::string& part) {
        index["id2label"] = id2label;
        write_file((model / "model_index.json").string(), index.dump());
        const Outcome run = run_t2i({"-m", model.string(), "-p", "207", "-o", folder / "a.png"});
        INFO(run.err);
        CHECK(run.code == 3);
        CHECK(run.err.find("model_index.json: \"id2label\" " + part) != std::string::npos);
    };
    refused("cat", "is not an object");
    refused({{"dog", "cat"}}, "holds a bad entry \"dog\"");
    refused({{"-1", "cat"}}, "holds a bad entry \"-1\"");
    refused({{"1", 2}}, "holds a bad entry \"1\"");
    refused({{"1000", "cat"}}, "names class 1000, the transformer knows 1000");
    index["id2label"] = nullptr;
    index["text_encoder"] = {"transformers", "T5EncoderModel"};
    write_file((model / "model_index.json").string(), index.dump());
    const Outcome run = run_t2i({"-m", model.string(), "-p", "207", "-o", folder / "a.png"});
    CHECK(run.code == 3);
    CHECK(run.err.find("transformer: is class-conditional, but DiTPipeline lists a text encoder") != std::string::npos);
}

TEST_CASE("classes: bench times the model, and one with random weights") {
    const Outcome model = run_t2i({"bench", "-m", tiny_class_model().string(), "--steps", "2", "--runs", "1", "--warm-ups", "0"});
    INFO(model.err);
    CHECK(model.code == 0);
    CHECK(model.out.find("denoise, 2 steps with CFG") != std::string::npos);
    const Outcome step = run_t2i({"bench", "--random", "dit-tiny", "--runs", "1", "--warm-ups", "0"});
    INFO(step.err);
    CHECK(step.code == 0);
    CHECK(step.out.find("dit-tiny, one CFG step ") != std::string::npos);
    CHECK(run_t2i({"bench", "--random", "dit-tiny", "--steps", "2", "--runs", "1", "--warm-ups", "0", "-b", "3"}).code == 0);
}

}  // namespace t2i::test
