// A model folder and a decoder whose names are no UTF-8, as file systems allow: what t2i writes about them still is.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/escape.h"
#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_read.h"
#include "support/catch.h"
#include "text/unicode.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

// In a folder of its own; the name is "modèle" in Latin-1.
struct OddModel {
    TempFolder holder;
    std::string path = (holder.path() / "mod\xe8le").string(), decoder = (holder.path() /
                                                                          "d\xe9"
                                                                          "codeur")
                                                                             .string();
    OddModel() {
        copy_tiny_model(path);
        fs::copy(tiny_model() / "vae", decoder, fs::copy_options::recursive);
    }
};

}  // namespace

TEST_CASE("odd names: pictures of every format hold parameters in UTF-8, and verify finds them the same") {
    const OddModel model;
    const TempFolder folder;
    for (const char* name : {"a.png", "a.webp", "a.jpg"}) {
        const std::string file = folder / name;
        const Outcome run = run_t2i({"-m", model.path, "--vae", model.decoder, "-p", "a", "--steps", "1", "-o", file});
        INFO(run.err);
        REQUIRE(run.code == 0);
        CHECK(is_utf8(run.err));
        const PictureInfo info = read_picture_info(read_file(file), file);
        REQUIRE(info.parameters());
        CHECK(is_utf8(*info.parameters()));
        const Infotext text = read_infotext(*info.parameters(), file);
        CHECK(text.value("Model").starts_with("mod"));
        CHECK(text.value("VAE").starts_with("d"));
    }
    const Outcome verified = run_t2i({"verify", "-m", model.path, "--vae", model.decoder, "--json", folder / "a.png"});
    INFO(verified.err);
    CHECK(verified.code == 0);
    CHECK(nlohmann::json::parse(verified.out).at("result") == "same");
}

TEST_CASE("odd names: manifest, journal, failures and inspect are JSON") {
    const OddModel model;
    const TempFolder folder;
    const std::string file = folder / "prompts.jsonl", out = folder / "out";
    write_file_atomically(file, "{\"id\": \"a\", \"prompt\": \"a cat\"}\n{\"id\": \"b\", \"prompt\": \"a cat\", \"steps\": 0}\n");
    for (int time = 0; time < 2; ++time) {  // the second reads what the first wrote
        const Outcome run =
            run_t2i({"batch", file, "-o", out, "-m", model.path, "--vae", model.decoder, "--steps", "1", "--log-format", "json"});
        INFO(run.err);
        CHECK(run.code == 5);
        CHECK(is_utf8(run.err));
    }
    for (const char* name : {"manifest.jsonl", "journal.jsonl", "failed.jsonl"}) CHECK(json_lines(out + "/" + name).size() == 1);
    const auto line = json_lines(out + "/manifest.jsonl").front();
    CHECK(line.at("model").get<std::string>().starts_with("mod"));
    CHECK(line.at("vae").get<std::string>().starts_with("d"));
    CHECK(run_t2i({"batch", "--verify", "-o", out}).code == 0);
    for (const auto& path : {model.path, model.decoder, out + "/a.png"}) {
        const Outcome run = run_t2i({"inspect", "--json", path});
        INFO(run.err);
        CHECK(run.code == 0);
        CHECK(nlohmann::json::accept(run.out));
        CHECK(is_utf8(run_t2i({"inspect", path}).out));
    }
}

}  // namespace t2i::test
