#include "models/registry.h"

#include <array>
#include <filesystem>

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

struct DenoiserRow : Row<Denoiser> {
    GridSizes (*read_sizes)(const ModelConfig&);
};
struct DecoderRow : Row<Decoder> {
    std::int64_t (*read_factor)(const ModelConfig&);
};

// What DiT and PixArt were before diffusers 0.27; norm_type tells them apart.
bool is_dit(const ModelConfig& config) {
    const std::string norm = config.text("norm_type", "layer_norm");
    if (norm == "ada_norm_zero") return true;
    if (norm == "ada_norm_single") return false;
    throw config.error("norm_type",
                       "is \"" + norm + "\"; \"ada_norm_zero\" (DiT) and \"ada_norm_single\" (PixArt) are supported");
}
std::unique_ptr<Denoiser> make_transformer_2d(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    return is_dit(config) ? make_dit_transformer(load, config, weights) : make_pixart_transformer(load, config, weights);
}
GridSizes read_transformer_2d_sizes(const ModelConfig& config) {
    return is_dit(config) ? read_dit_sizes(config) : read_pixart_sizes(config);
}

// Adding an architecture is a row here.
constexpr std::array<Row<TextEncoder>, 1> text_encoders{{{"T5EncoderModel", make_t5}}};
constexpr std::array<DenoiserRow, 3> denoisers{{
    {{"DiTTransformer2DModel", make_dit_transformer}, read_dit_sizes},
    {{"PixArtTransformer2DModel", make_pixart_transformer}, read_pixart_sizes},
    {{"Transformer2DModel", make_transformer_2d}, read_transformer_2d_sizes},
}};
constexpr std::array<DecoderRow, 2> decoders{{
    {{"AutoencoderKL", make_kl_decoder}, read_kl_factor},
    {{"AutoencoderTiny", make_tiny_decoder}, read_tiny_factor},
}};
constexpr std::array<Row<LatentEncoder>, 2> encoders{
    {{"AutoencoderKL", make_kl_encoder}, {"AutoencoderTiny", make_tiny_encoder}}};

// The row of an array whose class the config names.
template <typename Rows>
const auto& row_for(const Rows& rows, const ModelConfig& config) {
    const std::string name = config.class_name();
    std::string known;
    for (const auto& row : rows) {
        if (name == row.class_name) return row;
        known += (known.empty() ? "" : ", ") + std::string(row.class_name);
    }
    throw Error(ErrorCode::input, "class \"" + name + "\" is not supported here (supported: " + known + ")", config.where());
}

template <typename Rows>
auto make(const Rows& rows, const LoadContext& load, const ModelConfig& config, WeightStore weights) {
    auto model = row_for(rows, config).make(load, config, weights);
    weights.finish();
    return model;
}

template <typename Rows>
auto load_folder(const Rows& rows, Backend& backend, const std::string& folder, DType compute) {
    const ModelConfig config = ModelConfig::read(folder);
    return make(rows, {backend, compute}, config, WeightStore(open_component(folder), folder));
}

bool looks_like_taesd(const CheckpointReader& reader) {
    for (const auto& entry : reader.entries())
        if (entry.name == "3.conv.0.weight" || entry.name == "decoder.layers.3.conv.0.weight") return true;
    return false;
}

bool is_file(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored);
}

// What the file of an autoencoder's weights is: TAESD's own, or as config.json beside it says.
ModelConfig config_of_file(const CheckpointReader& reader, const std::string& path) {
    if (looks_like_taesd(reader)) return ModelConfig::parse(R"({"_class_name": "AutoencoderTiny"})", path);
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::error_code ignored;
    if (!std::filesystem::exists(folder / "config.json", ignored))
        throw Error(ErrorCode::input, "is not a TAESD file, and no config.json beside it says what it is", path);
    return ModelConfig::read(folder.string());
}

template <typename Rows>
auto load_autoencoder(const Rows& rows, Backend& backend, const std::string& path, DType compute) {
    if (!is_file(path)) return load_folder(rows, backend, path, compute);
    auto reader = open_checkpoint(path);
    const ModelConfig config = config_of_file(*reader, path);
    return make(rows, {backend, compute}, config, WeightStore(std::move(reader), path));
}

}  // namespace

std::unique_ptr<TextEncoder> load_text_encoder(Backend& backend, const std::string& folder, DType compute) {
    return load_folder(text_encoders, backend, folder, compute);
}

std::unique_ptr<Denoiser> load_denoiser(Backend& backend, const std::string& folder, DType compute) {
    return load_folder(denoisers, backend, folder, compute);
}

GridSizes read_denoiser_sizes(const std::string& folder) {
    const ModelConfig config = ModelConfig::read(folder);
    return row_for(denoisers, config).read_sizes(config);
}

std::unique_ptr<Decoder> load_decoder(Backend& backend, const std::string& folder_or_file, DType compute) {
    return load_autoencoder(decoders, backend, folder_or_file, compute);
}

std::int64_t read_decoder_factor(const std::string& folder_or_file) {
    const ModelConfig config = is_file(folder_or_file) ? config_of_file(*open_checkpoint(folder_or_file), folder_or_file)
                                                       : ModelConfig::read(folder_or_file);
    return row_for(decoders, config).read_factor(config);
}

std::vector<std::string> component_files(const std::string& folder) {
    std::vector<std::string> files{ModelConfig::path_in(folder)};
    for (auto& file : component_checkpoint_files(folder)) files.push_back(std::move(file));
    return files;
}

std::vector<std::string> decoder_files(const std::string& folder_or_file) {
    if (!is_file(folder_or_file)) return component_files(folder_or_file);
    std::vector<std::string> files = checkpoint_files(folder_or_file);
    if (!looks_like_taesd(*open_checkpoint(folder_or_file)))
        files.insert(files.begin(), ModelConfig::path_in(std::filesystem::path(folder_or_file).parent_path().string()));
    return files;
}

std::unique_ptr<LatentEncoder> load_encoder(Backend& backend, const std::string& folder_or_file, DType compute) {
    return load_autoencoder(encoders, backend, folder_or_file, compute);
}

}  // namespace t2i
