#include "models/registry.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/log.h"
#include "core/nearest.h"
#include "models/autoencoder_kl.h"
#include "models/autoencoder_tiny.h"
#include "models/dit_transformer.h"
#include "models/names.h"
#include "models/pixart_transformer.h"
#include "models/rehearsal.h"
#include "models/t5_encoder.h"

namespace t2i {
namespace {

template <typename Role>
struct Row {
    const char* class_name;
    std::unique_ptr<Role> (*make)(const LoadContext&, const ModelConfig&, WeightStore&);
};

// A text encoder may keep the store, to read from it later.
struct TextEncoderRow {
    const char* class_name;
    std::unique_ptr<TextEncoder> (*make)(const LoadContext&, const ModelConfig&, std::shared_ptr<WeightStore>, bool resident);
};
std::unique_ptr<TextEncoder> make_t5(const LoadContext& load, const ModelConfig& config, std::shared_ptr<WeightStore> weights,
                                     bool resident) {
    ignore_t5_duplicates(*weights);
    return make_t5_encoder(load, config, std::move(weights), resident);
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
constexpr std::array<TextEncoderRow, 1> text_encoders{{{"T5EncoderModel", make_t5}}};
constexpr std::array<DenoiserRow, 4> denoisers{{
    {{"DiT", make_dit_transformer}, read_dit_sizes},  // facebook's own
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

// The row of an array for a class. where: the file that names it.
template <typename Rows>
const auto& row_for(const Rows& rows, const std::string& name, const std::string& where) {
    std::string known;
    for (const auto& row : rows) {
        if (name == row.class_name) return row;
        known += (known.empty() ? "" : ", ") + std::string(row.class_name);
    }
    throw Error(
        ErrorCode::input,
        (name.empty() ? "names no class" : "class \"" + name + "\" is not supported here") + " (supported: " + known + ")",
        where);
}

// The pipeline's word counts; a config may name the class that the weights were cut out of, or none.
template <typename Rows>
const auto& row_for(const Rows& rows, const ComponentSource& source, const ModelConfig& config) {
    return row_for(rows, source.class_name.empty() ? config.class_name() : source.class_name, config.where());
}

template <typename Row>
auto make(const Row& row, const LoadContext& load, const ModelConfig& config, WeightStore weights, const Log& log) {
    auto model = row.make(load, config, weights);
    if (const std::string line = weights.left_over(); !line.empty()) log_warning(log, line);
    return model;
}

// How weights are read and where they go.
struct Loading {
    Backend& backend;
    DType compute;
    bool is_rehearsal = false;
    [[nodiscard]] std::unique_ptr<CheckpointReader> reader(std::unique_ptr<CheckpointReader> of) const {
        return is_rehearsal ? as_zeros(std::move(of)) : std::move(of);
    }
};

ComponentFolder folder_of(const ComponentSource& source, Library library) {
    return {.path = source.path, .library = library, .variant = source.variant};
}

bool looks_like_taesd(const CheckpointReader& reader) {
    return find_entry(reader, "3.conv.0.weight") || find_entry(reader, "decoder.layers.3.conv.0.weight");
}

std::string config_beside(const std::string& file) {
    return ModelConfig::path_in(std::filesystem::path(file).parent_path().string());
}

std::vector<std::string> files_of(const ComponentSource& source, Library library) {
    std::vector<std::string> files;
    const bool alone = is_plain_file(source.path);
    if (!alone) files.push_back(ModelConfig::path_in(source.path));
    else if (describe_part(source.path, source.hints).has_config) files.push_back(config_beside(source.path));
    for (auto& file : alone ? checkpoint_files(source.path) : component_checkpoint_files(folder_of(source, library)))
        files.push_back(std::move(file));
    return files;
}

constexpr const char* tiny_class = "AutoencoderTiny";

std::optional<Published> open_published(const std::string& path, PartHints hints) {
    hints.file = path;
    hints.config_beside = config_beside(path);
    if (const std::string problem = shard_problem(path); !problem.empty()) throw Error(ErrorCode::input, problem, path);
    auto reader = open_checkpoint(path);
    return recognise(reader, hints);
}

Published open_file(PartKind kind, const ComponentSource& source) {
    auto published = open_published(source.path, source.hints);
    static constexpr std::array<const char*, 3> names{"denoising transformer", "T5 text encoder", "autoencoder"};
    const std::string wanted = names[static_cast<std::size_t>(kind)];
    if (!published) throw Error(ErrorCode::input, "holds no " + wanted + " under names that t2i knows", source.path);
    if (published->kind != kind) throw Error(ErrorCode::input, "is no " + wanted + " but " + published->title, source.path);
    return std::move(*published);
}

ModelConfig read_config(PartKind kind, const ComponentSource& source) {
    if (is_plain_file(source.path)) return ModelConfig::parse(open_file(kind, source).config, source.path);
    return ModelConfig::read(source.path);
}

// A decoder that comes without a pipeline, whose config may name no class: the two classes have no options in common that say
// how wide they are.
template <typename Rows>
const auto& autoencoder_row(const Rows& rows, const ComponentSource& source, const ModelConfig& config) {
    if (!source.class_name.empty() || !config.class_name().empty()) return row_for(rows, source, config);
    const bool is_tiny = config.has("decoder_block_out_channels") || config.has("encoder_block_out_channels");
    const bool is_kl = config.has("block_out_channels");
    return row_for(rows, is_tiny ? tiny_class : is_kl ? "AutoencoderKL" : "", config.where());
}

template <typename Rows>
const auto& row_of_kind(const Rows& rows, PartKind kind, const ComponentSource& source, const ModelConfig& config) {
    return kind == PartKind::autoencoder ? autoencoder_row(rows, source, config) : row_for(rows, source, config);
}

template <typename Rows>
auto load(const Rows& rows, PartKind kind, const Loading& loading, const ComponentSource& source) {
    const LoadContext context{loading.backend, loading.compute};
    if (is_plain_file(source.path)) {
        Published file = open_file(kind, source);
        const ModelConfig config = ModelConfig::parse(file.config, source.path);
        return make(row_for(rows, config.class_name(), source.path), context, config,
                    WeightStore(loading.reader(std::move(file.reader)), source.path), source.log);
    }
    const ModelConfig own = ModelConfig::read(source.path);
    const auto& row = row_of_kind(rows, kind, source, own);
    const Library library = kind == PartKind::text_encoder ? Library::transformers : Library::diffusers;
    auto reader = open_component(folder_of(source, library));
    std::optional<ModelConfig> facebooks;  // whatever class the folder's config names
    if (!source.hints.as_diffusers && is_facebooks(*reader))
        facebooks.emplace(ModelConfig::parse(with_facebooks_formulas(own.all().dump()), own.where()));
    const ModelConfig& config = facebooks ? *facebooks : own;
    return make(row, context, config, WeightStore(loading.reader(with_model_names(std::move(reader))), source.path), source.log);
}

// What a pipeline says of a folder's class says nothing of a file.
std::string class_of(const ComponentSource& source, const ModelConfig& config) {
    return source.class_name.empty() || is_plain_file(source.path) ? config.class_name() : source.class_name;
}

std::unique_ptr<TextEncoder> load_text(const Loading& loading, const ComponentSource& source, std::size_t most_resident_bytes) {
    const bool alone = is_plain_file(source.path);
    Published file = alone ? open_file(PartKind::text_encoder, source) : Published();
    const ModelConfig config = alone ? ModelConfig::parse(file.config, source.path) : ModelConfig::read(source.path);
    auto reader = alone ? std::move(file.reader) : with_model_names(open_component(folder_of(source, Library::transformers)));
    std::size_t bytes = 0;
    for (const auto& entry : reader->entries()) bytes += entry.bytes;
    const auto weights = std::make_shared<WeightStore>(loading.reader(std::move(reader)), source.path);
    const auto& row = alone ? row_for(text_encoders, config.class_name(), source.path) : row_for(text_encoders, source, config);
    auto model = row.make({loading.backend, loading.compute}, config, weights, bytes <= most_resident_bytes);
    if (const std::string line = weights->left_over(); !line.empty()) log_warning(source.log, line);
    return model;
}

template <typename Load>
void rehearse(const Load& load) {
    const auto nowhere = make_rehearsal_backend();
    static_cast<void>(load(Loading{.backend = *nowhere, .compute = DType::f32, .is_rehearsal = true}));
}

}  // namespace

void rehearse_text_encoder(const ComponentSource& source) {
    rehearse([&](const Loading& loading) { return load_text(loading, source, 0); });
}

void rehearse_denoiser(const ComponentSource& source) {
    rehearse([&](const Loading& loading) { return load(denoisers, PartKind::denoiser, loading, source); });
}

void rehearse_decoder(const ComponentSource& source) {
    rehearse([&](const Loading& loading) { return load(decoders, PartKind::autoencoder, loading, source); });
}

void rehearse_encoder(const ComponentSource& source) {
    try {
        rehearse([&](const Loading& loading) { return load(encoders, PartKind::autoencoder, loading, source); });
    } catch (const Error& error) {
        if (error.code() != ErrorCode::input) throw;
        throw Error(ErrorCode::input, "has no encoder that could read a picture: " + error.message(), error.where());
    }
}

std::unique_ptr<TextEncoder> load_text_encoder(Backend& backend, const ComponentSource& source, DType compute,
                                               std::size_t most_resident_bytes) {
    return load_text({backend, compute}, source, most_resident_bytes);
}

std::unique_ptr<Denoiser> load_denoiser(Backend& backend, const ComponentSource& source, DType compute) {
    return load(denoisers, PartKind::denoiser, {backend, compute}, source);
}

GridSizes read_denoiser_sizes(const ComponentSource& source) {
    const ModelConfig config = read_config(PartKind::denoiser, source);
    return row_for(denoisers, class_of(source, config), config.where()).read_sizes(config);
}

std::unique_ptr<Decoder> load_decoder(Backend& backend, const ComponentSource& source, DType compute) {
    return load(decoders, PartKind::autoencoder, {backend, compute}, source);
}

std::int64_t read_decoder_factor(const ComponentSource& source) {
    const ModelConfig config = read_config(PartKind::autoencoder, source);
    if (is_plain_file(source.path)) return row_for(decoders, config.class_name(), source.path).read_factor(config);
    return autoencoder_row(decoders, source, config).read_factor(config);
}

PartDescription describe_part(const std::string& path, const PartHints& hints) {
    auto published = open_published(path, hints);
    if (!published) throw Error(ErrorCode::input, "holds no part of a model under names that t2i knows", path);
    return {.kind = published->kind,
            .title = std::move(published->title),
            .values = published->values,
            .pipeline = std::move(published->pipeline),
            .is_facebooks = published->is_facebooks,
            .config = std::move(published->config),
            .notes = std::move(published->notes),
            .has_config = published->has_config};
}

namespace {

template <typename Rows>
bool has_row(const Rows& rows, const std::string& name) {
    return std::ranges::any_of(rows, [&](const auto& row) { return name == row.class_name; });
}

// What a component's config is of, where that is no denoiser; null: it may be one.
const char* other_kind(const ModelConfig& config) {
    const std::string name = config.class_name();
    if (has_row(text_encoders, name) || config.has("d_model")) return "a text encoder";
    if (has_row(decoders, name) || config.has("block_out_channels")) return "an autoencoder";
    return nullptr;
}

// False where its weights cannot be read: whoever loads them says why.
bool holds_facebooks(const ComponentSource& source) {
    try {
        return is_facebooks(*open_component(folder_of(source, Library::diffusers)));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::input) throw;
        return false;
    }
}

}  // namespace

PartDescription describe_denoiser(const ComponentSource& source) {
    if (is_plain_file(source.path)) {
        PartDescription part = describe_part(source.path, source.hints);
        if (part.kind != PartKind::denoiser)
            throw Error(ErrorCode::input, "is no denoising transformer but " + part.title, source.path);
        return part;
    }
    const ModelConfig config = ModelConfig::read(source.path);
    const std::string name = config.class_name();
    if (const char* other = other_kind(config))
        throw Error(ErrorCode::input,
                    "is no denoising transformer but " + std::string(other) + (name.empty() ? "" : " (" + name + ")"),
                    source.path);
    if (!name.empty()) static_cast<void>(row_for(denoisers, name, config.where()));
    PartDescription part;
    if (holds_facebooks(source)) {
        part.title = "facebook's DiT";
        part.pipeline = source.hints.as_diffusers ? "DiTPipeline" : "DiT";
        part.is_facebooks = true;
        return part;
    }
    if (name == "DiTTransformer2DModel" || (name != "PixArtTransformer2DModel" && is_dit(config))) {
        part.title = "DiT";
        part.pipeline = "DiTPipeline";
        return part;
    }
    // Published Sigma configs have it, those of alpha do not.
    const bool is_sigma = config.has("interpolation_scale");
    part.title = is_sigma ? "PixArt-Sigma" : "PixArt-alpha";
    part.pipeline = is_sigma ? "PixArtSigmaPipeline" : "PixArtAlphaPipeline";
    return part;
}

OpenedPart open_part(const ComponentSource& source) {
    if (is_plain_file(source.path)) {
        auto published = open_published(source.path, source.hints);
        if (!published) throw Error(ErrorCode::input, "holds no part of a model under names that t2i knows", source.path);
        return {published->kind, std::move(published->reader), std::move(published->config), published->is_facebooks};
    }
    const ModelConfig config = ModelConfig::read(source.path);
    const std::string name = source.class_name.empty() ? config.class_name() : source.class_name;
    const bool is_text = has_row(text_encoders, name);
    if (!is_text && !has_row(denoisers, name) && !has_row(decoders, name))
        throw Error(ErrorCode::input,
                    (name.empty() ? "names no class" : "class " + in_quotes(name) + " is no part of a model that t2i knows"),
                    config.where());
    auto reader = open_component(folder_of(source, is_text ? Library::transformers : Library::diffusers));
    const bool by_facebook = is_facebooks(*reader);
    return {is_text                    ? PartKind::text_encoder
            : has_row(denoisers, name) ? PartKind::denoiser
                                       : PartKind::autoencoder,
            with_model_names(std::move(reader)), config.all().dump(), by_facebook};
}

std::string derived_config(const ComponentSource& source) {
    if (!is_plain_file(source.path) || looks_like_taesd(*open_checkpoint(source.path))) return {};
    const PartDescription part = describe_part(source.path, source.hints);
    return part.has_config ? std::string() : part.config;
}

std::vector<std::string> text_encoder_files(const ComponentSource& source) {
    return files_of(source, Library::transformers);
}

std::vector<std::string> denoiser_files(const ComponentSource& source) {
    return files_of(source, Library::diffusers);
}

std::vector<std::string> decoder_files(const ComponentSource& source) {
    return files_of(source, Library::diffusers);
}

std::unique_ptr<LatentEncoder> load_encoder(Backend& backend, const ComponentSource& source, DType compute) {
    return load(encoders, PartKind::autoencoder, {backend, compute}, source);
}

}  // namespace t2i
