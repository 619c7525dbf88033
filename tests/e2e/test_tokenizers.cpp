// Tokenizer folders as people have them, from the command line.
#include <filesystem>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/run_t2i.h"
#include "support/token_folders.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome draw(const fs::path& model, const std::string& prompt, const fs::path& out) {
    return run_t2i({"-m", model.string(), "-p", prompt, "--steps", "1", "--seed", "3", "--no-metadata", "-o", out.string()});
}

void set_tokenizer_class(const fs::path& model, const std::string& name) {
    const std::string path = (model / "model_index.json").string();
    auto index = nlohmann::json::parse(file_text(path));
    index["tokenizer"] = {"transformers", name};
    write_file(path, index.dump());
}

}  // namespace

TEST_CASE("tokenizer.json alone, as transformers 4 and 5 write it, draws the picture of spiece.model") {
    const TempFolder folder;
    const std::string prompt = "a red apple", expected = folder / "expected.png";
    REQUIRE(draw(tiny_model(), prompt, expected).code == 0);
    for (const auto& [version, name, class_name] : {std::tuple{"5", "5, tokens of every kind (small)", "T5Tokenizer"},
                                                    std::tuple{"4", "fast, tokens of every kind (small)", "T5TokenizerFast"}}) {
        INFO(name);
        const fs::path model = folder.path() / version, out = folder.path() / (std::string(version) + ".png");
        copy_tiny_model(model);
        fs::remove_all(model / "tokenizer");
        auto files = token_folder(version, name);
        // Without the tokens that would be found in this prompt.
        for (auto& [file, content] : files.at("files").items()) {
            if (content.contains("added_tokens")) content["added_tokens"] = nlohmann::json::array();
            if (content.contains("added_tokens_decoder")) content["added_tokens_decoder"] = nlohmann::json::object();
        }
        write_token_folder(files, model / "tokenizer");
        set_tokenizer_class(model, class_name);
        const Outcome run = draw(model, prompt, out);
        INFO(run.err);
        REQUIRE(run.code == 0);
        CHECK(file_text(out.string()) == file_text(expected));
    }
}

TEST_CASE("more ids in the tokenizer than in the text encoder are an error only where a prompt uses one") {
    const TempFolder folder;
    const fs::path model = folder.path() / "model", out = folder.path() / "a.png";
    copy_tiny_model(model);
    const std::string config = (model / "tokenizer/tokenizer_config.json").string();
    auto options = nlohmann::json::parse(file_text(config));
    options["extra_ids"] = 5;
    write_file(config, options.dump());
    CHECK(draw(model, "a red apple", out).code == 0);
    fs::remove(out);
    const Outcome run = draw(model, "a red <extra_id_0>", out);
    CHECK(run.code == 3);
    CHECK(run.err.find("holds \"<extra_id_0>\", which is id 60 of the tokenizer, and the text encoder's ids end at 55\n") !=
          std::string::npos);
    CHECK_FALSE(fs::exists(out));
}

}  // namespace t2i::test
