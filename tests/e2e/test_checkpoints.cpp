// Model folders as people have them: what the reference libraries load is drawn with, and what is wrong is said with what to do.
#include <linux/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint/component.h"
#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "e2e/tiny_model.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "support/process.h"
#include "support/run_t2i.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

const std::string transformer_file = "transformer/diffusion_pytorch_model.safetensors",
                  vae_file = "vae/diffusion_pytorch_model.safetensors", text_encoder_file = "text_encoder/model.safetensors";

// A copy of the tiny model that a test changes.
class Model {
  public:
    explicit Model(const std::string& name = "model") : root_(folder_.path() / name) { copy_tiny_model(root_); }
    [[nodiscard]] fs::path root() const { return root_; }
    [[nodiscard]] std::string path(const std::string& file) const { return (root_ / file).string(); }
    [[nodiscard]] std::string beside(const std::string& name) const { return folder_ / name; }
    void move(const std::string& from, const std::string& to) const { fs::rename(root_ / from, root_ / to); }
    // Keys of a JSON file; null takes one away.
    void edit(const std::string& file, const nlohmann::json& patch) const {
        std::string text = file_text(path(file));
        if (const auto at = text.find("-Infinity"); at != std::string::npos) text.replace(at, 9, "null");  // which is no JSON
        auto json = nlohmann::json::parse(text);
        json.merge_patch(patch);
        (void)write_file(path(file), json.dump());
    }
    // A file's tensors with some more, each times `factor`, under another name.
    void write_weights(const std::string& from, const std::string& to, float factor,
                       const std::vector<std::string>& more = {}) const {
        const auto reader = open_checkpoint(path(from));
        std::vector<Tensor> owned;
        std::vector<std::string> names;
        for (const auto& entry : reader->entries()) {
            owned.push_back(Tensor::host(entry.shape));
            const auto values = reader->tensor(entry.name).as<float>();
            std::ranges::transform(values, owned.back().as<float>().begin(), [&](float v) { return v * factor; });
            names.push_back(entry.name);
        }
        for (const auto& name : more) owned.push_back(Tensor::host({2})), names.push_back(name);
        std::vector<NamedTensor> all;
        for (std::size_t i = 0; i < names.size(); ++i) all.push_back({names[i], owned[i]});
        fs::remove(root_ / to);
        write_safetensors(path(to), all);
    }

  private:
    TempFolder folder_;
    fs::path root_;
};

struct Drawn {
    Outcome run;
    std::vector<std::uint8_t> rgb;  // empty: nothing was drawn
    std::string parameters;
};

Drawn draw_with(const fs::path& model, const std::vector<std::string>& more = {}, const std::string& prompt = "a red apple") {
    const TempFolder folder;
    const std::string out = folder / "a.png";
    std::vector<std::string> a{"-m", model.string(), "-p", prompt, "--steps", "1", "--device", "cpu", "-o", out};
    a.insert(a.end(), more.begin(), more.end());
    Drawn drawn{.run = run_t2i(a), .rgb = {}, .parameters = {}};
    if (!fs::exists(out)) return drawn;
    const auto bytes = read_file(out);
    drawn.rgb = decode_png(bytes, out).rgb;
    drawn.parameters = read_png_info(bytes, out).text.front().second;
    return drawn;
}

const std::vector<std::uint8_t>& plain() {
    static const auto rgb = draw_with(tiny_model()).rgb;
    REQUIRE_FALSE(rgb.empty());
    return rgb;
}

std::string warnings(const Drawn& drawn) {
    std::string lines;
    std::istringstream in(drawn.run.err);
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("t2i: warning: ")) lines += line + "\n";
    return lines;
}

}  // namespace

TEST_CASE("checkpoints: tensors without a place are passed over with one warning, and inspect shows them") {
    const Model model;
    model.write_weights(transformer_file, transformer_file, 1.0F, {"caption_projection.y_embedding"});
    model.write_weights(text_encoder_file, text_encoder_file, 1.0F, {"decoder.final_layer_norm.weight", "lm_head.weight"});
    const Drawn drawn = draw_with(model.root());
    CHECK(drawn.rgb == plain());
    CHECK(warnings(drawn) ==
          "t2i: warning: " + model.path("transformer") +
              ": 1 tensor has no place in this model and is passed over: \"caption_projection.y_embedding\" [2]\n"
              "t2i: warning: " +
              model.path("text_encoder") +
              ": 2 tensors have no place in this model and are passed over: \"decoder.final_layer_norm.weight\" [2], "
              "\"lm_head.weight\" [2]\n");
    const Outcome inspect = run_t2i({"inspect", model.root().string()});
    CHECK(inspect.code == 0);
    CHECK(contains(inspect.out, "1 tensor has no place in this model and is passed over"));
    CHECK(contains(inspect.out, "2 tensors have no place in this model and are passed over"));
    const auto json = nlohmann::json::parse(run_t2i({"inspect", "--json", model.root().string()}).out);
    CHECK(contains(json.at("components").at("transformer").at("passed_over").get<std::string>(), "y_embedding"));
    CHECK_FALSE(json.at("components").at("vae").contains("passed_over"));
}

TEST_CASE("checkpoints: inspect says what stands in the way of drawing, and goes on") {
    const Model model;
    model.edit("transformer/config.json", {{"caption_channels", 25}});
    fs::remove(model.root() / vae_file);
    const Outcome inspect = run_t2i({"inspect", model.root().string()});
    INFO(inspect.out);
    CHECK(inspect.code == 0);
    CHECK(contains(inspect.out, "caption_projection.linear_1.weight"));
    CHECK(contains(inspect.out, "no weights: neither diffusion_pytorch_model.safetensors"));
    CHECK(contains(inspect.out, "defaults"));
}

TEST_CASE("checkpoints: model_index.json decides a component's class") {
    const Model model;
    for (const char* file : {"transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json"})
        model.edit(file, {{"_class_name", nullptr}});
    model.edit("text_encoder/config.json", {{"architectures", {"T5ForConditionalGeneration"}}});
    CHECK(draw_with(model.root()).rgb == plain());
    model.edit("scheduler/scheduler_config.json", {{"_class_name", "DPMSolverMultistepScheduler"}});
    model.edit("model_index.json", {{"scheduler", {"diffusers", "EulerDiscreteScheduler"}}});
    const Drawn euler = draw_with(model.root());
    CHECK(contains(euler.parameters, "Sampler: euler, "));
    CHECK(euler.rgb == draw_with(tiny_model(), {"--sampling-method", "euler"}).rgb);
}

TEST_CASE("checkpoints: what a picture does not need may be anything") {
    const Model model;
    model.edit("model_index.json", {{"safety_checker", {"stable_diffusion", "StableDiffusionSafetyChecker"}},
                                    {"feature_extractor", {"transformers", "CLIPImageProcessor"}},
                                    {"odd", {1, 2, 3}},
                                    {"requires_safety_checker", true}});
    fs::create_directory(model.root() / "safety_checker");
    (void)write_file(model.path("safety_checker/config.json"), "nonsense");
    fs::create_symlink("gone", model.root() / "feature_extractor");
    CHECK(draw_with(model.root()).rgb == plain());
    const Outcome inspect = run_t2i({"inspect", model.root().string()});
    CHECK(inspect.code == 0);
    CHECK(contains(inspect.out, "not needed for pictures"));
}

TEST_CASE("checkpoints: a variant is drawn with where it is asked for, and where it is alone") {
    const Model model;
    const std::string half = "transformer/diffusion_pytorch_model.fp16.safetensors";
    model.write_weights(transformer_file, half, 1.25F);
    CHECK(draw_with(model.root()).rgb == plain());
    const Drawn asked = draw_with(model.root(), {"--variant", "fp16"});
    CHECK(asked.run.code == 0);
    CHECK(asked.rgb != plain());
    CHECK(contains(asked.parameters, ", Variant: fp16, "));
    CHECK(draw_with(model.root(), {"--variant", "bf16"}).run.err ==
          "t2i: error: --variant: no component has files of this variant (\"bf16\")\n");

    model.write_weights(vae_file, "vae/diffusion_pytorch_model.bf16.safetensors", 1.0F);
    fs::remove(model.root() / transformer_file);
    CHECK(draw_with(model.root()).rgb == asked.rgb);
    const Drawn other = draw_with(model.root(), {"--variant", "bf16"});
    CHECK(other.run.code == 3);
    CHECK(contains(other.run.err, "transformer: only the fp16 variant is here, not \"bf16\""));
}

TEST_CASE("checkpoints: metadata and manifest hold the variant, and verify draws with it") {
    const Model model;
    for (const std::string folder : {"transformer", "vae"})
        model.write_weights(folder + "/diffusion_pytorch_model.safetensors", folder + "/diffusion_pytorch_model.fp16.safetensors",
                            1.25F);
    const TempFolder out;
    const std::string root = model.root().string(), half = out / "half.png", whole = out / "whole.png", lent = out / "lent.png";
    const auto draw = [&](const std::string& path, std::vector<std::string> more) {
        std::vector<std::string> all{"-m", root, "-p", "a red apple", "--steps", "1", "--device", "cpu", "-o", path};
        all.insert(all.end(), more.begin(), more.end());
        const Outcome run = run_t2i(all);
        INFO(run.err);
        REQUIRE(run.code == 0);
    };
    draw(half, {"--variant", "fp16"});
    draw(whole, {});
    CHECK(contains(run_t2i({"inspect", half}).out, ", Variant: fp16, "));
    CHECK_FALSE(contains(run_t2i({"inspect", whole}).out, "Variant"));
    CHECK(run_t2i({"verify", "-m", root, half, whole}).code == 0);
    draw(lent, {"--variant", "fp16", "--vae", root + "/vae"});
    CHECK(run_t2i({"verify", "-m", root, "--vae", root + "/vae", lent}).code == 0);

    (void)write_file(out / "p.jsonl", R"({"id": "one", "prompt": "a cat", "steps": 1})");
    const auto batch = [&](std::vector<std::string> more) {
        std::vector<std::string> all{"batch", out / "p.jsonl", "-o", out / "batch", "-m", root, "--device", "cpu"};
        all.insert(all.end(), more.begin(), more.end());
        return run_t2i(all);
    };
    REQUIRE(batch({"--variant", "fp16"}).code == 0);
    CHECK(nlohmann::json::parse(file_text(out / "batch/manifest.jsonl"))["variant"] == "fp16");
    CHECK(contains(batch({}).err, "variant fp16, here none"));
}

TEST_CASE("checkpoints: what is no transformer is named as what it is") {
    const Model model;
    const auto said = [&](const std::string& path) { return draw_with(model.path(path)).run.err; };
    CHECK(said("text_encoder") ==
          "t2i: error: " + model.path("text_encoder") + ": is no denoising transformer but a text encoder (T5EncoderModel)\n");
    CHECK(said("vae") ==
          "t2i: error: " + model.path("vae") + ": is no denoising transformer but an autoencoder (AutoencoderKL)\n");
    CHECK(said("tokenizer") ==
          "t2i: error: " + model.path("tokenizer") +
              ": is a tokenizer's folder alone; a model is the folder above it, which has model_index.json\n");
    CHECK(contains(said("scheduler"), ": is a scheduler's folder alone; a model is the folder above it"));
    CHECK(contains(said("model_index.json"), ": is the index of a model, not weights; give the folder that it lies in\n"));
    CHECK(contains(said("transformer/config.json"), ": is a config, not weights; give the folder that it lies in"));
    (void)write_file(model.path("list.json"), "[1, 2]");
    (void)write_file(model.path("odd.json"), R"({"a": 1})");
    CHECK(contains(said("odd.json"), ": is JSON without a \"weight_map\", so neither weights nor an index of their shards\n"));
    // One shard of several, with its index and without.
    const std::string shard = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors";
    fs::copy(model.path(transformer_file), model.path(shard));
    CHECK(contains(said(shard), ": is one shard of several; give their index (….index.json), which has to be fetched as well\n"));
    (void)write_file(model.path("transformer/diffusion_pytorch_model.safetensors.index.json"), "{}");
    CHECK(contains(said(shard),
                   ": is one shard of several; give their index, \"diffusion_pytorch_model.safetensors.index.json\"\n"));
}

TEST_CASE("checkpoints: folders and files may be links, as download caches make them") {
    const Model model;
    const fs::path root = model.beside("cache"), blobs = root / "blobs", snapshot = root / "snapshots" / "0a1b";
    fs::create_directories(blobs);
    int number = 0;
    for (const auto& entry : fs::recursive_directory_iterator(model.root())) {
        if (!entry.is_regular_file()) continue;
        const fs::path name = fs::relative(entry.path(), model.root()), blob = blobs / std::to_string(number++);
        fs::copy(entry.path(), blob);
        fs::create_directories((snapshot / name).parent_path());
        fs::create_symlink(fs::relative(blob, (snapshot / name).parent_path()), snapshot / name);
    }
    CHECK(draw_with(snapshot).rgb == plain());
    // Two models that share all but one component.
    const fs::path shared = model.beside("shared");
    fs::create_directory(shared);
    fs::copy(model.root() / "model_index.json", shared / "model_index.json");
    for (const char* part : {"text_encoder", "tokenizer", "scheduler", "vae"})
        fs::create_symlink(fs::path("../model") / part, shared / part);
    fs::create_symlink(snapshot / "transformer", shared / "transformer");
    CHECK(draw_with(shared).rgb == plain());
    fs::create_symlink("shared", model.beside("link"));
    CHECK(draw_with(model.beside("link")).rgb == plain());

    fs::remove_all(blobs);  // a snapshot that was copied without them
    const Drawn lost = draw_with(snapshot);
    CHECK(lost.run.code == 3);
    CHECK(contains(lost.run.err, "this link points to nothing (../../blobs/"));
}

TEST_CASE("checkpoints: what stands where a file should be is named with what to do") {
    struct StandIn {
        const char *content, *said;
    };
    const Model model;
    for (const char* name : {"model_index.json", "transformer/config.json", "scheduler/scheduler_config.json",
                             "tokenizer/spiece.model", "text_encoder/model.safetensors"}) {
        const std::string file = model.path(name), before = file_text(file);
        for (const auto& [content, said] :
             {StandIn{"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
              StandIn{"<!DOCTYPE html><title>Sign in</title>", "is a web page"}, StandIn{"", "is empty: its download failed"}}) {
            (void)write_file(file, content);
            const Drawn drawn = draw_with(model.root());
            INFO(name << ": " << drawn.run.err);
            CHECK(drawn.run.code == 3);
            CHECK(drawn.rgb.empty());
            CHECK(drawn.run.err.starts_with("t2i: error: " + file + ": "));
            CHECK(contains(drawn.run.err, said));
        }
        (void)write_file(file, before);
    }
    CHECK(draw_with(model.root()).rgb == plain());
}

TEST_CASE("checkpoints: a folder in a model that cannot be read is no error") {
    const Model model;
    fs::create_directory(model.root() / "lost+found");
    fs::permissions(model.root() / "lost+found", fs::perms::none);
    const TempFolder out;
    // Root reads everything, unless it has given that up; whoever is not root never could.
    Process run({"-m", model.root().string(), "-p", "a red apple", "--steps", "1", "--device", "cpu", "-o", out / "a.png"},
                {.in_child = [] {
                    for (const int capability : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH})
                        ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
                }});
    const Outcome outcome = run.wait();
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(fs::exists(out / "a.png"));
    fs::permissions(model.root() / "lost+found", fs::perms::owner_all);
}

TEST_CASE("checkpoints: a name that is not UTF-8 gives valid metadata") {
    const Model model("m\xff, x");
    const Drawn drawn = draw_with(model.root());
    CHECK(drawn.rgb == plain());
    CHECK(contains(drawn.parameters, "Model: \"m\\\\xff, x\""));
    const Model decoder("v\xfe");
    CHECK(contains(draw_with(tiny_model(), {"--vae", decoder.path("vae")}).parameters, "VAE: vae, "));
    decoder.move("vae", "vae\xfe");
    CHECK(contains(draw_with(tiny_model(), {"--vae", decoder.path("vae\xfe")}).parameters, "VAE: vae\\xfe, "));
    CHECK(nlohmann::json::accept(run_t2i({"inspect", "--json", model.root().string()}).out));
}

TEST_CASE("checkpoints: more ids than the text encoder has rows are an error only where they are used") {
    const Model model;
    model.edit("tokenizer/tokenizer_config.json", {{"extra_ids", 5000}});
    CHECK_FALSE(draw_with(model.root()).rgb.empty());
    const Drawn used = draw_with(model.root(), {}, "a <extra_id_0> b");
    CHECK(used.run.code == 3);
    CHECK(contains(used.run.err, "--prompt: holds \"<extra_id_0>\", which is id "));
}

TEST_CASE("checkpoints: an early copy calls its transformer's folder dit") {
    const TempFolder folder;
    const fs::path model = folder.path() / "early";
    fs::copy(tiny_class_model(), model, fs::copy_options::recursive);
    fs::rename(model / "transformer", model / "dit");
    auto index = nlohmann::json::parse(file_text((model / "model_index.json").string()));
    index["dit"] = index["transformer"];
    index.erase("transformer");
    (void)write_file((model / "model_index.json").string(), index.dump());
    const Drawn early = draw_with(model, {}, "207"), now = draw_with(tiny_class_model(), {}, "207");
    CHECK_FALSE(early.rgb.empty());
    CHECK(early.rgb == now.rgb);
}

}  // namespace t2i::test
