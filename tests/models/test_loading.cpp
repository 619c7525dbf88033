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

using Load = std::function<void(Backend&, const ComponentSource&)>;
void load_transformer(Backend& b, const ComponentSource& source) {
    (void)load_denoiser(b, source, DType::f32);
}
void load_t5(Backend& b, const ComponentSource& source) {
    (void)load_text_encoder(b, source, DType::f32);
}
void load_vae(Backend& b, const ComponentSource& source) {
    (void)load_decoder(b, source, DType::f32);
}

// What loading says after the change that `options` makes, as a component that model_index.json lists as class_name; tensors of
// `more` are added. Throws nothing.
std::vector<std::string> warnings_of(const nlohmann::json& c, const Load& load, const FolderOptions& options = {},
                                     const std::string& class_name = {}, const std::vector<std::string>& more = {}) {
    nlohmann::json component = c;
    for (const auto& name : more)
        component["tensors"].push_back({{"name", name}, {"shape", {2, 3}}, {"seed", 1}, {"scale", 1.0}, {"shift", 0.0}});
    const TempFolder folder;
    write_component(component, folder.path(), options);
    Machine machine("ref");
    std::vector<std::string> lines;
    const auto prefix = folder.path().string() + ": ";
    load(*machine.backend, {folder.path().string(), class_name, {}, [&](LogLevel level, const std::string& line) {
                                CHECK(level == LogLevel::warning);
                                CHECK(line.starts_with(prefix));
                                lines.push_back(line.substr(prefix.size()));
                            }});
    return lines;
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

TEST_CASE("Tensors without a place are passed over with one warning") {
    const auto pixart = component("pixart", "cases"), t5 = component("t5", "cases"), kl = component("autoencoders", "kl");
    CHECK(warnings_of(pixart, load_transformer).empty());
    CHECK(warnings_of(pixart, load_transformer, {}, {}, {"caption_projection.y_embedding"}) ==
          std::vector<std::string>{
              "1 tensor has no place in this model and is passed over: \"caption_projection.y_embedding\" [2, 3]"});
    CHECK(
        warnings_of(t5, load_t5, {}, {}, {"decoder.a", "lm_head.weight", "decoder.b", "decoder.c"}) ==
        std::vector<std::string>{"4 tensors have no place in this model and are passed over: \"decoder.a\" [2, 3], \"decoder.b\" "
                                 "[2, 3], \"decoder.c\" [2, 3], …"});
    CHECK(warnings_of(kl, load_vae, {}, {}, {"decoder.more.weight"}).size() == 1);
    // Known ones: of its training, the other half of an autoencoder, a table that is made anew.
    CHECK(warnings_of(kl, load_vae, {}, {}, {"loss.logvar"}).empty());
    CHECK(warnings_of(kl, load_vae).empty());
    CHECK(warnings_of(pixart, load_transformer, {}, {}, {"pos_embed.pos_embed"}).empty());
    // A config that asks for fewer layers than there are.
    const auto fewer = warnings_of(pixart, load_transformer, {.config_patch = {{"num_layers", 1}}});
    REQUIRE(fewer.size() == 1);
    says(fewer.front(), "\"transformer_blocks.1.");
}

TEST_CASE("The class that model_index.json lists counts, whatever the config says of it") {
    const auto pixart = component("pixart", "cases"), dit = component("dit", "cases"), t5 = component("t5", "cases"),
               kl = component("autoencoders", "kl"), tiny = component("autoencoders", "tiny");
    const nlohmann::json absent{{"_class_name", nullptr}}, other{{"_class_name", "UNet2DConditionModel"}};
    for (const auto& patch : {absent, other}) {
        CHECK(warnings_of(pixart, load_transformer, {.config_patch = patch}, "PixArtTransformer2DModel").empty());
        CHECK(warnings_of(pixart, load_transformer, {.config_patch = patch}, "Transformer2DModel").empty());
        CHECK(warnings_of(dit, load_transformer, {.config_patch = patch}, "Transformer2DModel").empty());
        CHECK(warnings_of(kl, load_vae, {.config_patch = patch}, "AutoencoderKL").empty());
        CHECK(warnings_of(tiny, load_vae, {.config_patch = patch}, "AutoencoderTiny").empty());
    }
    for (const nlohmann::json& architectures : {nlohmann::json(), nlohmann::json::array({"T5ForConditionalGeneration"})})
        CHECK(warnings_of(t5, load_t5, {.config_patch = {{"architectures", architectures}}}, "T5EncoderModel").empty());
    // Another decoder comes without model_index.json.
    CHECK(warnings_of(kl, load_vae, {.config_patch = absent}).empty());
    CHECK(warnings_of(tiny, load_vae, {.config_patch = absent}).empty());
}

TEST_CASE(
    "What pipelines of other models read of an autoencoder's config is left alone, and one half does not look at the other's") {
    const auto kl = component("autoencoders", "kl");
    CHECK(warnings_of(kl, load_vae,
                      {.config_patch = {{"latents_mean", {0.1, 0.2, 0.3, 0.4}},
                                        {"latents_std", {1.0, 2.0, 1.0, 2.0}},
                                        {"shift_factor", 0.5},
                                        {"down_block_types", {"AttnDownEncoderBlock2D"}},
                                        {"in_channels", 4}}})
              .empty());
    Machine machine("ref");
    const TempFolder folder;
    write_component(kl, folder.path(), {.config_patch = {{"in_channels", 4}}});
    CHECK_THROWS_AS(load_encoder(*machine.backend, folder.path().string(), DType::f32), Error);
}

TEST_CASE("T5: the activation is what the class makes of its three keys") {
    const auto t5 = component("t5", "cases");
    CHECK(warnings_of(t5, load_t5,
                      {.config_patch = {{"feed_forward_proj", nullptr}, {"dense_act_fn", "gelu_new"}, {"is_gated_act", true}}})
              .empty());
    CHECK(warnings_of(t5, load_t5, {.config_patch = {{"dense_act_fn", "gelu_pytorch_tanh"}}}).empty());
    says(error_of(t5, load_t5, {.config_patch = {{"feed_forward_proj", nullptr}}}), "makes relu");
    says(error_of(t5, load_t5, {.config_patch = {{"feed_forward_proj", "gated-silu"}}}), "makes gated silu");
    says(error_of(t5, load_t5, {.config_patch = {{"dense_act_fn", "gelu"}}}), "makes gated gelu");
}

TEST_CASE("Tensors that are missing or wrongly shaped are named") {
    const auto pixart = component("pixart", "cases");
    says(error_of(pixart, load_transformer, {.leave_out = {"transformer_blocks.1.attn2.to_k.bias"}}),
         "transformer_blocks.1.attn2.to_k.bias");
    says(error_of(pixart, load_transformer, {.config_patch = {{"caption_channels", 25}}}), "caption_projection.linear_1.weight");
    const auto dit = component("dit", "cases");
    says(error_of(dit, load_transformer, {.leave_out = {"transformer_blocks.1.norm1.linear.weight"}}),
         "transformer_blocks.1.norm1.linear.weight");
    says(error_of(dit, load_transformer, {.leave_out = {"transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"}}),
         "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight");
    says(error_of(dit, load_transformer, {.config_patch = {{"num_embeds_ada_norm", 11}}}), "asks for [12, 48]");
    says(error_of(dit, load_transformer, {.config_patch = {{"num_layers", 3}}}), "transformer_blocks.2.");
    says(error_of(component("t5", "cases"), load_t5, {.config_patch = {{"d_ff", 50}}}), "DenseReluDense");
    says(error_of(component("autoencoders", "kl"), load_vae, {.leave_out = {"post_quant_conv.weight"}}),
         "post_quant_conv.weight");
}

TEST_CASE("Keys of config.json that are missing, broken or not supported are named") {
    const auto pixart = component("pixart", "cases"), t5 = component("t5", "cases"), kl = component("autoencoders", "kl"),
               tiny = component("autoencoders", "tiny");
    says(error_of(t5, load_t5, {.config_patch = {{"d_model", nullptr}}}), "asks for [");  // of the class's default, 512
    says(error_of(t5, load_t5, {.config_patch = {{"d_model", "wide"}}}), "\"d_model\" must be a whole number");
    says(error_of(t5, load_t5, {.config_patch = {{"num_layers", -1}}}), "\"num_layers\" is out of range [1, 16777216]: -1");
    says(error_of(t5, load_t5, {.config_patch = {{"num_layers", 1e300}}}), "\"num_layers\" is out of range [1, 16777216]");
    says(error_of(t5, load_t5, {.config_patch = {{"feed_forward_proj", "relu"}}}), "\"gated-gelu\" (T5 v1.1) is supported");
    says(error_of(t5, load_t5, {.config_patch = {{"architectures", {"BertModel"}}}}), "class \"BertModel\" is not supported");
    says(error_of(t5, load_t5, {.config_patch = {{"architectures", nullptr}}}), "names no class (supported: T5EncoderModel)");
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
    says(error(file), "channels, which no published autoencoder has; a config.json beside it can say");
    write_component(component("t5", "cases"), folder.path() / "t5");
    const auto t5_weights = (folder.path() / "t5/model.safetensors").string();
    says(error(t5_weights), t5_weights + ": is no autoencoder but T5 encoder");
    says(error((folder.path() / "absent").string()), "absent");
}

TEST_CASE("Weights that hold a NaN are refused with its place") {
    auto t5 = component("t5", "cases");
    t5.at("tensors").at(3).at("scale") = 1e39;  // overflows to infinity in f32
    says(error_of(t5, load_t5, {}), "NaN or Inf at");
}

}  // namespace t2i::test
