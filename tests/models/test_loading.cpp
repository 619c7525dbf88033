// What is wrong with a model folder is said in one line that names the file.
#include <fstream>

#include "models/registry.h"
#include "support/catch.h"
#include "support/fixture.h"
#include "t2i/error.h"

namespace t2i::test {
namespace {

nlohmann::json component(const std::string& manifest, const char* key) {
    return read_manifest(manifest).at(key).at(0);
}

using Load = std::function<void(Backend&, const std::string&)>;
void load_transformer(Backend& b, const std::string& folder) {
    (void)load_denoiser(b, folder, DType::f32);
}
void load_t5(Backend& b, const std::string& folder) {
    (void)load_text_encoder(b, folder, DType::f32);
}
void load_vae(Backend& b, const std::string& path) {
    (void)load_decoder(b, path, DType::f32);
}

// The error of loading the component after the change that `options` makes.
std::string error_of(const nlohmann::json& c, const Load& load, const FolderOptions& options) {
    const TempFolder folder;
    write_component(c, folder.path(), options);
    Machine machine("ref");
    try {
        load(*machine.backend, folder.path().string());
    } catch (const Error& e) {
        const std::string text = e.what();
        CHECK(e.code() == ErrorCode::input);
        CHECK(text.find('\n') == std::string::npos);
        CHECK(text.starts_with(folder.path().string()));
        return text;
    }
    return "nothing was thrown";
}

bool says(const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Tensors that are missing, left over or wrongly shaped are named") {
    const auto pixart = component("pixart", "cases");
    says(error_of(pixart, load_transformer, {.leave_out = {"transformer_blocks.1.attn2.to_k.bias"}}),
         "transformer_blocks.1.attn2.to_k.bias");
    says(error_of(pixart, load_transformer, {.config_patch = {{"num_layers", 1}}}), "transformer_blocks.1.");
    says(error_of(pixart, load_transformer, {.config_patch = {{"caption_channels", 25}}}), "caption_projection.linear_1.weight");
    const auto dit = component("dit", "cases");
    says(error_of(dit, load_transformer, {.leave_out = {"transformer_blocks.1.norm1.linear.weight"}}),
         "transformer_blocks.1.norm1.linear.weight");
    says(error_of(dit, load_transformer, {.leave_out = {"transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"}}),
         "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight");
    says(error_of(dit, load_transformer, {.config_patch = {{"num_embeds_ada_norm", 11}}}), "asks for [12, 48]");
    says(error_of(dit, load_transformer, {.config_patch = {{"num_layers", 1}}}), "transformer_blocks.1.");
    says(error_of(component("t5", "cases"), load_t5, {.config_patch = {{"d_ff", 50}}}), "DenseReluDense");
    says(error_of(component("autoencoders", "kl"), load_vae, {.leave_out = {"post_quant_conv.weight"}}),
         "post_quant_conv.weight");
}

TEST_CASE("Keys of config.json that are missing, broken or not supported are named") {
    const auto pixart = component("pixart", "cases"), t5 = component("t5", "cases"), kl = component("autoencoders", "kl"),
               tiny = component("autoencoders", "tiny");
    says(error_of(t5, load_t5, {.config_patch = {{"d_model", nullptr}}}), "\"d_model\" is missing");
    says(error_of(t5, load_t5, {.config_patch = {{"d_model", "wide"}}}), "\"d_model\" must be a whole number");
    says(error_of(t5, load_t5, {.config_patch = {{"num_layers", -1}}}), "\"num_layers\" is out of range [1, 16777216]: -1");
    says(error_of(t5, load_t5, {.config_patch = {{"num_layers", 1e300}}}), "\"num_layers\" is out of range [1, 16777216]");
    says(error_of(t5, load_t5, {.config_patch = {{"feed_forward_proj", "relu"}}}), "\"gated-gelu\" is supported");
    says(error_of(t5, load_t5, {.config_patch = {{"architectures", {"BertModel"}}}}), "class \"BertModel\" is not supported");
    says(error_of(t5, load_t5, {.config_patch = {{"architectures", nullptr}}}), "names no class");
    says(error_of(pixart, load_transformer, {.config_patch = {{"norm_type", "ada_norm_zero"}}}), "\"norm_type\"");
    says(error_of(pixart, load_transformer, {.config_patch = {{"_class_name", "UNet2DConditionModel"}}}), "UNet2DConditionModel");
    says(error_of(pixart, load_transformer, {.config_patch = {{"out_channels", 5}}}), "\"out_channels\"");
    says(error_of(pixart, load_transformer, {.config_patch = {{"interpolation_scale", 0}}}), "\"interpolation_scale\"");
    const auto dit = component("dit", "cases");
    says(error_of(dit, load_transformer, {.config_patch = {{"norm_type", "ada_norm_single"}}}), "\"ada_norm_zero\" is supported");
    says(error_of(dit, load_transformer, {.config_patch = {{"_class_name", "Transformer2DModel"}, {"norm_type", "layer_norm"}}}),
         "\"ada_norm_zero\" (DiT) and \"ada_norm_single\" (PixArt) are supported");
    says(error_of(dit, load_transformer, {.config_patch = {{"num_embeds_ada_norm", 0}}}),
         "\"num_embeds_ada_norm\" is out of range [1, 16777216]: 0");
    says(error_of(dit, load_transformer, {.config_patch = {{"norm_eps", 0}}}), "\"norm_eps\" must be positive");
    says(error_of(dit, load_transformer, {.config_patch = {{"norm_elementwise_affine", true}}}), "\"norm_elementwise_affine\"");
    says(error_of(dit, load_transformer, {.config_patch = {{"activation_fn", "geglu"}}}), "\"gelu-approximate\" is supported");
    says(error_of(kl, load_vae, {.config_patch = {{"block_out_channels", {8, 15}}}}), "\"block_out_channels\"");
    says(error_of(kl, load_vae, {.config_patch = {{"up_block_types", {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"}}}}),
         "AttnUpDecoderBlock2D");
    says(error_of(kl, load_vae, {.config_patch = {{"scaling_factor", 0}}}), "\"scaling_factor\"");
    says(error_of(tiny, load_vae, {.config_patch = {{"act_fn", "silu"}}}), "\"relu\" is supported");
}

TEST_CASE("A config.json that is absent or not JSON, and files that are no autoencoder") {
    const TempFolder folder;
    write_component(component("autoencoders", "kl"), folder.path());
    Machine machine("ref");
    const auto error = [&](const std::string& path) {
        try {
            load_vae(*machine.backend, path);
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string("nothing was thrown");
    };
    const auto config = (folder.path() / "config.json").string(),
               file = (folder.path() / "diffusion_pytorch_model.safetensors").string();
    CHECK(error(file) == "nothing was thrown");  // its config.json lies beside it
    std::ofstream(config) << "{\"_class_name\": ";
    says(error(folder.path().string()), config + ": is not valid JSON");
    std::ofstream(config) << "[1]";
    says(error(folder.path().string()), config + ": is not a JSON object");
    std::filesystem::remove(config);
    says(error(folder.path().string()), config + ": cannot be read");
    says(error(file), "is not a TAESD file");
    says(error((folder.path() / "absent").string()), "absent");
}

TEST_CASE("Weights that hold a NaN are refused with its place") {
    auto t5 = component("t5", "cases");
    t5.at("tensors").at(3).at("scale") = 1e39;  // overflows to infinity in f32
    says(error_of(t5, load_t5, {}), "NaN or Inf at");
}

}  // namespace t2i::test
