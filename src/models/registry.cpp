#include "models/registry.h"

#include <array>
#include <filesystem>
#include <span>

#include "models/autoencoder_kl.h"
#include "models/autoencoder_tiny.h"
#include "models/dit_transformer.h"
#include "models/names.h"
#include "models/pixart_transformer.h"
#include "models/t5_encoder.h"

namespace t2i {
namespace {

template <typename Role>
struct Row {
    const char* class_name;
    std::unique_ptr<Role> (*make)(const LoadContext&, const ModelConfig&, WeightStore&);
};

std::unique_ptr<TextEncoder> make_t5(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    ignore_t5_duplicates(weights);
    return make_t5_encoder(load, config, weights);
}

// What DiT and PixArt were before diffusers 0.27; norm_type tells them apart.
std::unique_ptr<Denoiser> make_transformer_2d(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    const std::string norm = config.text("norm_type", "layer_norm");
    if (norm == "ada_norm_zero") return make_dit_transformer(load, config, weights);
    if (norm == "ada_norm_single") return make_pixart_transformer(load, config, weights);
    throw config.error("norm_type",
                       "is \"" + norm + "\"; \"ada_norm_zero\" (DiT) and \"ada_norm_single\" (PixArt) are supported");
}

// Adding an architecture is a row here.
constexpr std::array<Row<TextEncoder>, 1> text_encoders{{{"T5EncoderModel", make_t5}}};
constexpr std::array<Row<Denoiser>, 3> denoisers{{
    {"DiTTransformer2DModel", make_dit_transformer},
    {"PixArtTransformer2DModel", make_pixart_transformer},
    {"Transformer2DModel", make_transformer_2d},
}};
constexpr std::array<Row<Decoder>, 2> decoders{{{"AutoencoderKL", make_kl_decoder}, {"AutoencoderTiny", make_tiny_decoder}}};
constexpr std::array<Row<LatentEncoder>, 2> encoders{
    {{"AutoencoderKL", make_kl_encoder}, {"AutoencoderTiny", make_tiny_encoder}}};

template <typename Role>
std::unique_ptr<Role> make(std::span<const Row<Role>> rows, const LoadContext& load, const ModelConfig& config,
                           WeightStore weights) {
    const std::string name = config.class_name();
    std::string known;
    for (const auto& row : rows) {
        known += (known.empty() ? "" : ", ") + std::string(row.class_name);
        if (name != row.class_name) continue;
        auto model = row.make(load, config, weights);
        weights.finish();
        return model;
    }
    throw Error(ErrorCode::input, "class \"" + name + "\" is not supported here (supported: " + known + ")", config.where());
}

template <typename Role>
std::unique_ptr<Role> load_folder(std::span<const Row<Role>> rows, Backend& backend, const std::string& folder, DType compute) {
    const ModelConfig config = ModelConfig::read(folder);
    return make(rows, {backend, compute}, config, WeightStore(open_component(folder), folder));
}

bool looks_like_taesd(const CheckpointReader& reader) {
    for (const auto& entry : reader.entries())
        if (entry.name == "3.conv.0.weight" || entry.name == "decoder.layers.3.conv.0.weight") return true;
    return false;
}

template <typename Role>
std::unique_ptr<Role> load_autoencoder(std::span<const Row<Role>> rows, Backend& backend, const std::string& path,
                                       DType compute) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored)) return load_folder(rows, backend, path, compute);
    auto reader = open_checkpoint(path);
    const fs::path beside = fs::path(path).parent_path() / "config.json";
    const bool taesd = looks_like_taesd(*reader);
    if (!taesd && !fs::exists(beside, ignored))
        throw Error(ErrorCode::input, "is not a TAESD file, and no config.json beside it says what it is", path);
    const ModelConfig config = taesd ? ModelConfig::parse(R"({"_class_name": "AutoencoderTiny"})", path)
                                     : ModelConfig::read(beside.parent_path().string());
    return make(rows, {backend, compute}, config, WeightStore(std::move(reader), path));
}

}  // namespace

std::unique_ptr<TextEncoder> load_text_encoder(Backend& backend, const std::string& folder, DType compute) {
    return load_folder(std::span<const Row<TextEncoder>>(text_encoders), backend, folder, compute);
}

std::unique_ptr<Denoiser> load_denoiser(Backend& backend, const std::string& folder, DType compute) {
    return load_folder(std::span<const Row<Denoiser>>(denoisers), backend, folder, compute);
}

std::unique_ptr<Decoder> load_decoder(Backend& backend, const std::string& folder_or_file, DType compute) {
    return load_autoencoder(std::span<const Row<Decoder>>(decoders), backend, folder_or_file, compute);
}

std::unique_ptr<LatentEncoder> load_encoder(Backend& backend, const std::string& folder_or_file, DType compute) {
    return load_autoencoder(std::span<const Row<LatentEncoder>>(encoders), backend, folder_or_file, compute);
}

}  // namespace t2i
