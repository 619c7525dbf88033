// t2i convert: what it writes draws the same pictures, or nearly, and nothing that is there is touched.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/run_t2i.h"
#include "t2i/picture.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome convert(const std::string& from, const std::string& to, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all{"convert", from, to};
    all.insert(all.end(), more.begin(), more.end());
    return run_t2i(all);
}

// Its pixels' file without parameters, which name the model.
std::string drawn(const std::vector<std::string>& model) {
    const TempFolder folder;
    std::vector<std::string> all{"-p", "a cat",          "--steps",      "2", "--device", "cpu", "--dtype", "f32",
                                 "-o", folder / "a.png", "--no-metadata"};
    all.insert(all.end(), model.begin(), model.end());
    const Outcome run = run_t2i(all);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return file_text(folder / "a.png");
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("convert: a whole model keeps its pictures, and in another type says what that cost") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), same = folder / "same", half = folder / "half";
    const Outcome copied = convert(model, same);
    INFO(copied.err);
    REQUIRE(copied.code == 0);
    CHECK(contains(copied.out, " tensors, all equal to the input\n"));
    CHECK(drawn({"-m", same}) == drawn({"-m", model}));
    for (const char* part : {"transformer", "text_encoder", "vae", "scheduler", "tokenizer"})
        CHECK(fs::is_directory(fs::path(same) / part));

    const Outcome rounded = convert(model, half + "/", {"--type", "bf16", "--json"});
    REQUIRE(rounded.code == 0);
    std::istringstream lines(rounded.out);
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        const auto tensor = nlohmann::json::parse(line);
        CHECK(tensor["to"] == "bf16");
        CHECK(tensor["relative_error"].get<double>() < 0x1p-8);
    }
    CHECK(contains(copied.out, "same: " + std::to_string(count) + " tensors"));
    CHECK(fs::file_size(fs::path(half) / "transformer/diffusion_pytorch_model.safetensors") <
          fs::file_size(fs::path(same) / "transformer/diffusion_pytorch_model.safetensors"));
    CHECK_FALSE(drawn({"-m", half}).empty());
    CHECK(names_in(folder.path()) == std::vector<std::string>{"half", "same"});
}

TEST_CASE("convert: the folder of a transformer may have its early name, and a part remembers its config") {
    const TempFolder folder;
    const std::string early = folder / "early", now = folder / "now", part = folder / "part.gguf";
    fs::copy(tiny_class_model(), early, fs::copy_options::recursive);
    fs::rename(early + "/transformer", early + "/dit");
    auto index = nlohmann::json::parse(file_text(early + "/model_index.json"));
    index["dit"] = index["transformer"];
    index.erase("transformer");
    write_file(early + "/model_index.json", index.dump());
    const Outcome run = convert(early, now);
    INFO(run.err);
    REQUIRE(run.code == 0);
    const auto pixels = [&](const std::vector<std::string>& model) {
        std::vector<std::string> all{
            "-p", "0", "--steps", "2", "--device", "cpu", "--dtype", "f32", "-o", folder / "a.png", "--no-metadata"};
        all.insert(all.end(), model.begin(), model.end());
        const Outcome drawn = run_t2i(all);
        INFO(drawn.err);
        REQUIRE(drawn.code == 0);
        return file_text(folder / "a.png");
    };
    const std::string plain = pixels({"-m", tiny_class_model().string()});
    CHECK(pixels({"-m", now}) == plain);
    CHECK(fs::is_directory(now + "/transformer"));
    REQUIRE(convert(now + "/transformer", part).code == 0);
    CHECK(pixels({"-m", tiny_class_model().string(), "--transformer", part}) == plain);
}

TEST_CASE("convert: a text encoder in GGUF draws in place of the model's own") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), encoder = model + "/text_encoder";
    const std::string plain = folder / "plain.gguf", blocks = folder / "blocks.gguf", back = folder / "back";
    REQUIRE(convert(encoder, plain).code == 0);
    CHECK(drawn({"-m", model, "--text-encoder", plain}) == drawn({"-m", model}));
    const Outcome packed = convert(encoder, blocks, {"--type", "Q8_0"});
    INFO(packed.err);
    REQUIRE(packed.code == 0);
    CHECK(contains(packed.out, "enc.blk.0.attn_q.weight"));
    CHECK(contains(packed.out, " q8_0 "));
    CHECK(contains(packed.out, " rounded, at worst by "));
    CHECK_FALSE(drawn({"-m", model, "--text-encoder", blocks}).empty());
    REQUIRE(convert(plain, back).code == 0);
    CHECK(names_in(back) == std::vector<std::string>{"config.json", "model.safetensors"});
    CHECK(drawn({"-m", model, "--text-encoder", back}) == drawn({"-m", model}));
}

TEST_CASE("convert: what is there stays, and what cannot be is said in one line") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), part = model + "/transformer";
    const auto refused = [&](const std::string& from, const std::string& to, const std::vector<std::string>& more, int code,
                             const std::string& says) {
        const Outcome run = convert(from, to, more);
        INFO(run.err);
        CHECK(run.code == code);
        CHECK(contains(run.err, says));
        CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    };
    const std::string kept = write_file(folder / "kept.gguf", "mine");
    fs::create_directory(folder / "kept");
    refused(part, kept, {}, 3, "is there already, and is not replaced");
    refused(part, folder / "kept", {}, 3, "is there already, and is not replaced");
    refused(model, folder / "a.gguf", {}, 2, "a whole model is written as a folder");
    refused(part, folder / "a", {"--type", "q4_k"}, 2, "--type: q4_k is kept in GGUF alone");
    refused(part, folder / "a.safetensors", {"--type", "q8_0"}, 2, "--type: q8_0 is kept in GGUF alone");
    refused(part, folder / "a", {"--type", "bf61"}, 2, "--type: unknown type \"bf61\"; did you mean bf16?");
    refused(folder / "none", folder / "a", {}, 3, "no such file or folder");
    refused(part, folder / "no/where/a", {}, 3, "output folder does not exist");
    refused(part, folder / "no/where.gguf", {}, 3, "output folder does not exist");
    refused(kept, folder / "a", {}, 3, "kept.gguf");
    refused(part, "", {}, 2, "");
    refused(part, folder / "a.pth", {}, 2, "written are NAME.gguf, NAME.safetensors and folders");
    refused(model, folder / "a", {"--variant", "fp16"}, 3, "--variant: no component has files of this variant");
    refused(model, folder / "A.GGUF", {}, 2, "a whole model is written as a folder");
    CHECK(file_text(kept) == "mine");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"kept", "kept.gguf"});
    CHECK(fs::is_empty(folder / "kept"));
}

}  // namespace t2i::test
