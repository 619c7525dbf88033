// A model of parts: what is told, what pictures and folders of a batch remember of it, and what verify asks for.
#include <nlohmann/json.hpp>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/published_files.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

bool contains(const std::string& text, const std::string& part) {
    INFO(text);
    INFO(part);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

std::string picture(const std::string& path, std::vector<std::string> arguments) {
    std::vector<std::string> all{"--device", "cpu", "--dtype", "f32", "--steps", "1", "-o", path};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Outcome run = run_t2i(all);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return run.err;
}

}  // namespace

TEST_CASE("facebook's DiT from its file: told, drawn, inspected, verified") {
    const auto c = read_manifest("facebook_dit").at("pictures").at(1);
    const TempFolder folder;
    const std::string file = folder / "DiT-XL-2-256x256.safetensors", vae = folder / "vae", out = folder / "a.png";
    file_of(c).write(file);
    write_component(c.at("vae"), vae);

    const Outcome alone = run_t2i({"-m", file, "-p", "207", "-o", out});
    CHECK(alone.code == 3);
    contains(alone.err,
             "t2i: error: --vae: is needed: \"DiT-XL-2-256x256\" is a transformer alone; published as vae/ of "
             "facebook/DiT-XL-2-256, or "
             "diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-mse\n");

    const std::string told = picture(out, {"-m", file, "--vae", vae, "-p", "207", "-v"});
    contains(told, "\"DiT-XL-2-256x256\" is facebook's DiT of 1 blocks, width 72, patch 2, 64x64, for DiT\n");
    contains(told, "transformer: num_attention_heads 1 (supposed, from a width of 72: heads of 72)\n");
    contains(told, "transformer: sample_size 8 (the table of positions has 4x4 rows)\n");
    contains(run_t2i({"inspect", file}).out, "facebook's DiT of 1 blocks, width 72, patch 2, 64x64, ");
    const std::string text = run_t2i({"inspect", out}).out;
    contains(text, "Sampler: iddpm, CFG scale: 4, Seed: 42, Size: 64x64, ");
    contains(text, "Model: DiT-XL-2-256x256, VAE hash: ");
    CHECK(run_t2i({"verify", "-m", file, "--vae", vae, out}).code == 0);

    const std::string as = folder / "as.png";
    picture(as, {"-m", file, "--vae", vae, "-p", "207", "--as", "diffusers"});
    CHECK(file_text(as) != file_text(out));
    contains(run_t2i({"inspect", as}).out, "Sampler: ddim, ");
    contains(run_t2i({"inspect", as}).out, ", Formulas: diffusers, ");
    CHECK(run_t2i({"verify", "-m", file, "--vae", vae, as, out}).code == 0);  // each by its own formulas

    // In place of another model's, too; verify knows by whose formulas each was drawn.
    const std::string model = tiny_class_model().string(), part = folder / "part.png", part_as = folder / "part_as.png";
    picture(part, {"-m", model, "--transformer", file, "-p", "207"});
    picture(part_as, {"-m", model, "--transformer", file, "-p", "207", "--as", "diffusers"});
    contains(run_t2i({"inspect", part}).out, "Sampler: iddpm, ");
    contains(run_t2i({"inspect", part_as}).out, "Sampler: ddim, ");
    contains(run_t2i({"inspect", part_as}).out, ", Formulas: diffusers, ");
    CHECK(run_t2i({"verify", "-m", model, "--transformer", file, part, part_as}).code == 0);
    const Outcome none = run_t2i({"-m", model, "-p", "207", "--as", "diffusers", "-o", part});
    CHECK(none.code == 2);
    contains(none.err, "t2i: error: --as: is for weights of facebook's DiT, and the transformer of ");

    // Whoever lends the decoder does not lend its schedule.
    const std::string lent = folder / "lent.png";
    picture(lent, {"-m", file, "--base", tiny_class_model().string(), "-p", "207"});
    contains(run_t2i({"inspect", lent}).out, "Sampler: iddpm, ");
}

TEST_CASE("a text encoder of another width than the transformer reads is refused before anything is drawn") {
    const TempFolder folder;
    const auto parts = read_manifest("pipeline")["cases"].front()["pipeline"]["components"];
    write_component(parts["text_encoder"], folder / "t5");
    const Outcome run =
        run_t2i({"--text-encoder", folder / "t5", "-p", "a cat", "--steps", "1", "-o", folder / "a.png"});  // the bundled model
    CHECK(run.code == 3);
    contains(run.err, "makes texts of width ");
    const Outcome unused = run_t2i({"--base", tiny_model().string(), "-p", "a cat", "--steps", "1", "-o", folder / "a.png"});
    contains(unused.err, "t2i: warning: sticker-256 lacks no part, so that nothing of ");
}

TEST_CASE("a part in place of the model's is written down, asked for and compared") {
    const TempFolder folder;
    const std::string t5 = folder / "another t5", wrong = folder / "wrong t5", out = folder / "a.png", plain = folder / "b.png";
    const auto encoder = read_manifest("pipeline")["cases"].front()["pipeline"]["components"]["text_encoder"];
    write_component(encoder, t5, {.dtype = DType::bf16});
    write_component(encoder, wrong, {.dtype = DType::f16});
    const std::string model = tiny_model().string();
    picture(out, {"-m", model, "-p", "a cat", "--text-encoder", t5});
    picture(plain, {"-m", model, "-p", "a cat"});
    const std::string text = run_t2i({"inspect", out}).out;
    contains(text, ", Text encoder hash: ");
    contains(text, ", Text encoder: another t5, ");
    CHECK(run_t2i({"inspect", plain}).out.find("Text encoder") == std::string::npos);

    const Outcome without = run_t2i({"verify", "-m", model, out, plain});
    CHECK(without.code == 3);
    contains(without.out, out + ": not checked: was made with another text-encoder than the model's, \"another t5\" (hash ");
    contains(without.out, "); --text-encoder names it\n");
    contains(without.out, plain + ": the same\n");
    const Outcome other = run_t2i({"verify", "-m", model, "--text-encoder", wrong, out});
    CHECK(other.code == 3);
    contains(other.out, "; --text-encoder names \"wrong t5\" (hash ");
    CHECK(run_t2i({"verify", "-m", model, "--text-encoder", t5, out, plain}).code == 0);

    write_file(folder / "p.jsonl", R"({"id": "one", "prompt": "a cat", "steps": 1})");
    const std::string done = folder / "done";
    const auto batch = [&](std::vector<std::string> more) {
        std::vector<std::string> all{"batch", folder / "p.jsonl", "-o", done, "-m", model, "--device", "cpu"};
        all.insert(all.end(), more.begin(), more.end());
        return run_t2i(all);
    };
    REQUIRE(batch({"--text-encoder", t5}).code == 0);
    const auto line = nlohmann::json::parse(file_text(done + "/manifest.jsonl"));
    CHECK(line["text_encoder"] == "another t5");
    CHECK(line["text_encoder_hash"].get<std::string>().size() == 10);
    contains(batch({}).err, "text_encoder_hash");  // another picture has that id
    CHECK(batch({"--text-encoder", t5}).code == 0);
}

TEST_CASE("a base lends what a transformer's folder lacks") {
    const TempFolder folder;
    copy_tiny_model(folder.path() / "base");
    std::filesystem::create_directories(folder / "PixArt-XL-2-256x256");
    std::filesystem::rename(folder / "base/transformer", folder / "PixArt-XL-2-256x256/transformer");
    const std::string model = folder / "PixArt-XL-2-256x256", base = folder / "base", out = folder / "a.png",
                      plain = folder / "b.png";
    const Outcome alone = run_t2i({"-m", model, "-p", "a cat", "-o", out});
    CHECK(alone.code == 3);
    contains(
        alone.err,
        "t2i: error: --base: is needed: \"PixArt-XL-2-256x256\" is a transformer alone (it has no model_index.json), without "
        "tokenizer, text_encoder, vae. ");
    picture(out, {"-m", model, "--base", base, "-p", "a cat"});
    picture(plain, {"-m", tiny_model().string(), "-p", "a cat"});
    const Outcome text = run_t2i({"inspect", out});
    contains(text.out, ", Model: PixArt-XL-2-256x256, Base: base, ");
    CHECK(run_t2i({"verify", "-m", model, "--base", base, out}).code == 0);
    const Outcome whole = run_t2i({"verify", "-m", tiny_model().string(), out});
    INFO(whole.out);
    CHECK(whole.code == 0);  // the same files in one folder are the same model
}

}  // namespace t2i::test
