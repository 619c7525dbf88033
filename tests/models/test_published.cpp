// Files under the names of the models' makers draw what diffusers draws of the same weights; facebook's DiT what its own formulas
// give (scripts/golden/facebook_dit.py).
#include <fstream>

#include "generators/model_hash.h"
#include "generators/model_parts.h"
#include "models/golden_picture.h"
#include "models/registry.h"
#include "support/catch.h"
#include "support/published_files.h"
#include "t2i/error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

nlohmann::json case_named(const nlohmann::json& cases, const std::string& name) {
    for (const auto& c : cases)
        if (c.at("name") == name) return c;
    throw std::runtime_error("no case " + name);
}

const nlohmann::json& part_of(const nlohmann::json& c, const char* name) {
    return c.at("pipeline").at("components").at(name);
}

void write_config(const nlohmann::json& component, const fs::path& folder) {
    fs::create_directories(folder);
    std::ofstream(folder / "config.json") << component.at("config").dump();
}

std::string error_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

bool contains(const std::string& text, const std::string& part) {
    INFO(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

}  // namespace

TEST_CASE("facebook's DiT draws by facebook's formulas") {
    const auto manifest = read_manifest("facebook_dit");
    const auto results = read_results("facebook_dit");
    for (const auto& c : manifest.at("pictures")) {
        const TempFolder folder;
        const std::string file = folder / "DiT-XL-2-256x256.safetensors", vae = folder / "vae";
        file_of(c).write(file);
        write_component(c.at("vae"), vae);
        for (const char* device : {"ref", "cpu", "emulated"})
            check_picture("facebook's DiT", c, *results, {.model = file, .vae = vae, .device = device});
    }
}

TEST_CASE("a training checkpoint of facebook's DiT is read as its averaged weights") {
    const auto manifest = read_manifest("facebook_dit");
    const auto results = read_results("facebook_dit");
    const auto& c = manifest.at("pictures").at(1);
    const TempFolder folder;
    PublishedFile file = file_of(c), raw = file_of(c);
    file.put_under("ema.");
    for (auto& [name, tensor] : raw.tensors()) file.add("model." + name, filled(tensor.shape(), 0.25F));
    file.write(folder / "0400000.safetensors");
    write_component(c.at("vae"), folder / "vae");
    check_picture("facebook's DiT, averaged", c, *results,
                  {.model = folder / "0400000.safetensors", .vae = folder / "vae", .device = "cpu"});
}

TEST_CASE("facebook's DiT as diffusers computes it") {
    const auto manifest = read_manifest("dit");
    const auto results = read_results("dit");
    for (const auto& c : manifest.at("pictures")) {
        const TempFolder folder;
        const std::string file = folder / "DiT-XL-2-256x256.safetensors", base = folder / "base";
        facebook_names(part_of(c, "transformer")).write(file);
        write_pipeline(c.at("pipeline"), base);
        check_picture("facebook's DiT, as diffusers", c, *results,
                      {.model = file, .device = "cpu", .base = base, .formulas = "diffusers"});
        check_picture("facebook's DiT in a folder of diffusers", c, *results,
                      {.model = base, .device = "cpu", .transformer = file, .formulas = "diffusers"});
        // In diffusers' own layout, whose config names diffusers' class.
        const fs::path renamed = folder.path() / "renamed";
        write_config(part_of(c, "transformer"), renamed);
        fs::copy(file, renamed / "diffusion_pytorch_model.safetensors");
        check_picture("a folder with facebook's names", c, *results,
                      {.model = base, .device = "cpu", .transformer = renamed.string(), .formulas = "diffusers"});
    }
}

TEST_CASE("facebook's DiT draws by facebook's formulas wherever it is given") {
    const auto manifest = read_manifest("facebook_dit");
    const auto results = read_results("facebook_dit");
    const auto dit = read_manifest("dit").at("pictures").at(0);
    for (const auto& c : manifest.at("pictures")) {
        const TempFolder folder;
        const std::string whole = folder / "whole", file = folder / "DiT-XL-2-256x256.safetensors", part = folder / "part";
        write_pipeline(dit.at("pipeline"), whole);
        fs::remove_all(whole + "/vae");
        write_component(c.at("vae"), whole + "/vae");
        file_of(c).write(file);
        // What config.json would say, by the names and shapes; it names diffusers' class.
        PartHints as_diffusers;
        as_diffusers.as_diffusers = true;
        fs::create_directory(part);
        std::ofstream(part + "/config.json") << describe_part(file, as_diffusers).config;
        fs::copy(file, part + "/diffusion_pytorch_model.safetensors");
        const std::string alone = folder / "alone";
        fs::create_directory(alone);
        fs::copy(part, alone + "/transformer", fs::copy_options::recursive);
        check_picture("--transformer FILE", c, *results, {.model = whole, .device = "cpu", .transformer = file});
        check_picture("--transformer FOLDER", c, *results, {.model = whole, .device = "cpu", .transformer = part});
        check_picture("a folder alone", c, *results, {.model = alone, .device = "cpu", .base = whole});
        check_picture("a base", c, *results, {.model = file, .device = "cpu", .base = whole});
        fs::remove_all(whole + "/transformer");
        fs::copy(part, whole + "/transformer", fs::copy_options::recursive);
        check_picture("a whole folder", c, *results, {.model = whole, .device = "cpu"});
    }
}

TEST_CASE("the hash of a model tells by whose formulas it draws") {
    const auto c = read_manifest("facebook_dit").at("pictures").at(0);
    const TempFolder folder;
    const std::string whole = folder / "whole", file = folder / "DiT-XL-2-256x256.safetensors";
    write_pipeline(read_manifest("dit").at("pictures").at(0).at("pipeline"), whole);
    file_of(c).write(file);
    const ModelFolder own = read_model({.model = whole, .transformer = file}),
                      diffusers = read_model({.model = whole, .transformer = file, .formulas = "diffusers"}),
                      both = read_model({.model = file, .transformer = whole + "/transformer"});
    CHECK(own.pipeline_class == "DiT");
    CHECK(own.rules->default_sampler() == "iddpm");
    CHECK(own.steps == 250);
    CHECK(diffusers.pipeline_class == "DiTPipeline");
    CHECK(hash_model(own).model != hash_model(diffusers).model);
    CHECK(hash_model(own).parts.at("transformer") != hash_model(diffusers).parts.at("transformer"));
    CHECK(both.pipeline_class == "DiTPipeline");  // of the transformer that draws
}

TEST_CASE("PixArt's own file with a base") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    for (const bool is_wrapped : {false, true}) {
        const auto c = case_named(manifest.at("cases"), "alpha_head_72_flow");
        const TempFolder folder;
        PublishedFile file = pixart_names(part_of(c, "transformer"));
        file.add("y_embedder.y_embedding", filled({120, 24}, 0.5F));
        if (is_wrapped) {
            PublishedFile both;
            for (auto& [name, tensor] : file.tensors()) both.add("state_dict_ema." + name, filled(tensor.shape(), 0.25F));
            file.put_under("state_dict.");
            for (auto& [name, tensor] : file.tensors()) both.add(name, std::move(tensor));
            file = std::move(both);
        }
        file.write(folder / "PixArt-XL-2-256x256.safetensors");
        write_pipeline(c.at("pipeline"), folder / "base");
        fs::remove_all(folder / "base/transformer");  // nothing of it is needed
        check_picture("PixArt's own file", c, *results,
                      {.model = folder / "PixArt-XL-2-256x256.safetensors", .device = "cpu", .base = folder / "base"});
    }
}

TEST_CASE("a PixArt from four places, without a model folder") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    const auto c = case_named(manifest.at("cases"), "alpha_learned_variance");
    for (const int rank : {2, 3, 4}) {
        const TempFolder folder;
        write_pipeline(c.at("pipeline"), folder / "whole");
        PublishedFile transformer = pixart_names(part_of(c, "transformer"));
        transformer.add("y_embedder.y_embedding", filled({120, 24}, 0.5F));
        write_config(part_of(c, "transformer"), folder / "t");  // heads of no published size
        transformer.write(folder / "t/PixArt-XL-2-256x256.safetensors");

        PublishedFile vae = ldm_names(part_of(c, "vae"), rank);
        if (rank == 2) vae.put_under("vae.");
        if (rank == 3) vae.put_under("first_stage_model.");
        if (rank == 3) vae.add("model.diffusion_model.out.2.weight", filled({4, 4}, 1));
        if (rank == 4) vae.add("loss.logvar", filled({1}, 1));
        if (rank == 4) vae.add("model_ema.decay", filled({1}, 1));
        write_config(part_of(c, "vae"), folder / "v");  // groups of no published size
        vae.write(folder / "v/vae-ft-mse-840000-ema-pruned.safetensors");

        PublishedFile t5 = rank == 2 ? gguf_names(part_of(c, "text_encoder")) : file_of(part_of(c, "text_encoder"));
        if (rank == 3) t5.put_under("text_encoders.t5xxl.transformer.");
        if (rank == 4) {  // scaled, as 8-bit floats are; a power of two changes no bit
            std::vector<std::string> modules;
            for (auto& [name, tensor] : t5.tensors())
                if (name.find(".DenseReluDense.") != std::string::npos) {
                    for (float& value : tensor.as<float>()) value /= 4;
                    modules.push_back(name.substr(0, name.size() - std::string("weight").size()));
                }
            for (std::size_t i = 0; i < modules.size(); ++i)
                t5.add(modules[i] + (i % 2 ? "scale_weight" : "weight_scale"), filled(i % 2 ? Shape{} : Shape{1}, 4));
            t5.add("scaled_fp8", filled({2}, 0));
        }
        t5.write(folder / "t5xxl.safetensors");

        check_picture("PixArt of parts", c, *results,
                      {.model = folder / "t/PixArt-XL-2-256x256.safetensors",
                       .vae = folder / "v/vae-ft-mse-840000-ema-pruned.safetensors",
                       .device = "cpu",
                       .text_encoder = folder / "t5xxl.safetensors",
                       .tokenizer = folder / "whole/tokenizer/spiece.model"});
    }
}

TEST_CASE("a folder that holds a transformer alone takes the rest from its base") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    const auto c = case_named(manifest.at("cases"), "sigma_long_prompt");
    const TempFolder folder;
    write_pipeline(c.at("pipeline"), folder / "base");
    fs::create_directories(folder / "PixArt-Sigma-XL-2-256x256");
    fs::rename(folder / "base/transformer", folder / "PixArt-Sigma-XL-2-256x256/transformer");
    for (const char* model : {"PixArt-Sigma-XL-2-256x256", "PixArt-Sigma-XL-2-256x256/transformer"})
        check_picture("a transformer's folder", c, *results, {.model = folder / model, .device = "cpu", .base = folder / "base"});
}

TEST_CASE("older diffusers names of an autoencoder's attention, with weights of convolutions") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    const auto c = case_named(manifest.at("cases"), "alpha_ddim");
    for (const int rank : {2, 4}) {
        const TempFolder folder;
        write_pipeline(c.at("pipeline"), folder.path());
        PublishedFile vae;
        PublishedFile with_vae = file_of(part_of(c, "vae"));
        for (auto& [name, tensor] : with_vae.tensors()) {
            std::string old = name;
            for (const auto& [now, before] :
                 {std::pair{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}})
                if (const auto at = old.find(now); at != std::string::npos) old.replace(at, std::string(now).size(), before);
            if (old != name && rank == 4 && tensor.shape().rank() == 2)
                tensor.view.shape = Shape{tensor.shape()[0], tensor.shape()[1], 1, 1};
            vae.add(old, std::move(tensor));
        }
        vae.write(folder / "vae/diffusion_pytorch_model.safetensors");
        check_picture("old names", c, *results, {.model = folder.path().string(), .device = "cpu"});
    }
}

TEST_CASE("a file is told by its names and shapes") {
    const TempFolder folder;
    const auto title = [&](const PublishedFile& file, const std::string& name) {
        file.write(folder / name);
        return describe_part(folder / name).title;
    };
    const auto dit = read_manifest("facebook_dit").at("pictures").at(0);
    CHECK(title(file_of(dit), "DiT.safetensors") == "facebook's DiT of 2 blocks, width 144, patch 2, 64x64");
    const auto pixart = case_named(read_manifest("pipeline").at("cases"), "alpha_head_72_flow");
    PublishedFile file = pixart_names(part_of(pixart, "transformer"));
    CHECK(title(file, "p.safetensors") == "PixArt of 1 blocks, width 144, patch 2, 64x64");
    file.tensors().erase("pos_embed");
    CHECK(title(file, "PixArt-Sigma-XL-2-2K-MS.safetensors") == "PixArt-Sigma of 1 blocks, width 144, patch 2, 2048x2048");
    CHECK(title(file, "PixArt-XL-2-512x512.safetensors") == "PixArt of 1 blocks, width 144, patch 2, 512x512");
    contains(error_of([&] { (void)title(file, "mine.safetensors"); }), "does not say for what size it was trained");
    file.add("y_embedder.y_embedding", filled({300, 24}, 0));
    file.write(folder / "PixArt-256.safetensors");
    const PartDescription sigma = describe_part(folder / "PixArt-256.safetensors");
    CHECK(sigma.pipeline == "PixArtSigmaPipeline");
    contains(sigma.config, "\"interpolation_scale\":0.5");
    CHECK(title(gguf_names(part_of(pixart, "text_encoder")), "t5.safetensors") == "T5 encoder of 2 blocks, width 24");
    contains(error_of([&] { (void)title(ldm_names(part_of(pixart, "vae"), 4), "vae.safetensors"); }), "norm_num_groups");
    // Sizes of the published models, of which only the shapes are looked at.
    PublishedFile wide;
    const auto with = [&](const std::string& name, const Shape& shape) { wide.add(name, filled(shape, 0)); };
    for (int i = 0; i < 24; ++i) with("encoder.block." + std::to_string(i) + ".layer.0.layer_norm.weight", {2048});
    with("encoder.block.0.layer.0.SelfAttention.q.weight", {64, 2048});
    with("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {32, 1});
    with("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", {8, 2048});
    with("shared.weight", {4, 2048});
    CHECK(title(wide, "t5xl.safetensors") == "T5-XL encoder");
}

TEST_CASE("what is missing of a model of parts is named with where it is published") {
    const auto c = case_named(read_manifest("pipeline").at("cases"), "alpha_head_72_flow");
    const TempFolder folder;
    write_pipeline(c.at("pipeline"), folder / "whole");
    PublishedFile file = pixart_names(part_of(c, "transformer"));
    file.write(folder / "PixArt-256.safetensors");
    const auto check = [&](ModelParts parts, const std::string& vae = {}) {
        return error_of([&] { read_model(parts).check_components(vae); });
    };
    const std::string model = folder / "PixArt-256.safetensors", whole = folder / "whole";
    contains(check({.model = model}), "base: is needed: nothing in \"PixArt-256.safetensors\" says which pipeline its PixArt");
    file.add("y_embedder.y_embedding", filled({300, 24}, 0));
    file.write(model);
    contains(check({.model = model}),
             "base: is needed: \"PixArt-256\" is a transformer alone, without tokenizer, text_encoder, vae");
    const std::string text = whole + "/text_encoder", tokenizer = whole + "/tokenizer", vae = whole + "/vae";
    contains(check({.model = model, .text_encoder = text, .tokenizer = tokenizer}),
             "vae: is needed: \"PixArt-256\" is a transformer alone; published as vae/ of "
             "PixArt-alpha/pixart_sigma_sdxlvae_T5_diffusers");
    contains(check({.model = model, .tokenizer = tokenizer}, vae),
             "text_encoder: is needed: \"PixArt-256\" is a transformer alone; published as "
             "text_encoder/ of PixArt-alpha/PixArt-XL-2-1024-MS, t5xxl_fp16.safetensors of");
    CHECK(check({.model = model, .text_encoder = text, .tokenizer = tokenizer}, vae) == "nothing was thrown");
    contains(check({.model = model, .base = whole}),
             "base: is for PixArtAlphaPipeline, and \"PixArt-256.safetensors\" is PixArt-Sigma of 1");
    file.tensors().erase("y_embedder.y_embedding");
    file.write(model);
    CHECK(check({.model = model, .base = whole}) == "nothing was thrown");
    contains(check({.model = whole, .text_encoder = folder / "absent"}), "text_encoder: ");
    contains(check({.model = whole, .formulas = "diffusers"}),
             "formulas: is for weights of facebook's DiT, and the transformer of \"whole\" is none");
    contains(check({.model = model, .base = whole, .formulas = "diffusers"}), "formulas: is for weights of facebook's DiT");
    contains(check({.model = whole, .formulas = "stable"}), "formulas: \"stable\" is not known");
    const auto dit = case_named(read_manifest("dit").at("pictures"), "unguided");
    write_pipeline(dit.at("pipeline"), folder / "dit");
    contains(check({.model = model, .base = folder / "dit"}),
             "base: is for DiTPipeline, and \"PixArt-256.safetensors\" is PixArt");
    contains(check({.model = folder / "dit", .text_encoder = text}), "text_encoder: names a part that DiTPipeline has not");
    facebook_names(part_of(dit, "transformer")).write(folder / "DiT-XL-2-256x256.safetensors");
    contains(check({.model = folder / "DiT-XL-2-256x256.safetensors"}), "is 32 wide, which no published model is");
    contains(check({.model = whole + "/text_encoder/model.safetensors"}),
             "is no denoising transformer but T5 encoder of 2 blocks");
}

TEST_CASE("hashes of a model and of its parts") {
    const auto c = case_named(read_manifest("pipeline").at("cases"), "alpha_head_72_flow");
    const TempFolder folder;
    const std::string whole = folder / "whole", other = folder / "other";
    write_pipeline(c.at("pipeline"), whole);
    write_component(part_of(c, "text_encoder"), other, {.dtype = DType::bf16});
    const ModelHashes plain = hash_model(read_model({.model = whole})),
                      named = hash_model(read_model({.model = whole, .text_encoder = other}));
    CHECK(plain.parts.empty());
    REQUIRE(named.parts.size() == 1);
    CHECK(named.model != plain.model);
    const std::string before = named.parts.at("text_encoder");
    fs::rename(other, folder / "moved");
    CHECK(hash_model(read_model({.model = whole, .text_encoder = folder / "moved"})).parts.at("text_encoder") == before);
    fs::remove_all(whole + "/text_encoder");  // the model's own is not read, and not covered
    CHECK(hash_model(read_model({.model = whole, .text_encoder = folder / "moved"})).model == named.model);
}

}  // namespace t2i::test
