#include <algorithm>
#include <array>

#include "generators/diffusion.h"
#include "generators/model_folder.h"
#include "generators/pipelines.h"
#include "models/registry.h"
#include "t2i/error.h"
#include "text/tokenizer.h"

namespace t2i {

namespace {

// Folders of diffusers' layout.
constexpr const char *transformer = "transformer", *scheduler = "scheduler", *vae = "vae", *tokenizer = "tokenizer",
                     *text_encoder = "text_encoder";

std::vector<std::string> scheduler_files(const ComponentSource& source) {
    return schedule_files(source.path);
}
std::vector<std::string> tokenizer_files_of(const ComponentSource& source) {
    return tokenizer_files(source.path, source.class_name);
}
std::string tokenizer_rules_of(const ComponentSource& source) {
    return tokenizer_rules(source.path, source.class_name);
}
void rehearse_tokenizer(const ComponentSource& source) {
    (void)load_tokenizer(source.path, source.class_name);
}

constexpr ComponentRow scheduler_row{.folder = scheduler, .files = scheduler_files, .class_key = "_class_name"};
constexpr ComponentRow transformer_row{.folder = transformer,
                                       .files = denoiser_files,
                                       .weights = Library::diffusers,
                                       .rehearse = rehearse_denoiser,
                                       .formerly = "dit"};
constexpr ComponentRow tokenizer_row{.folder = tokenizer,
                                     .files = tokenizer_files_of,
                                     .rules = tokenizer_rules_of,
                                     .rehearse = rehearse_tokenizer,
                                     .published = "tokenizer/spiece.model of PixArt-alpha/PixArt-XL-2-1024-MS"};
constexpr ComponentRow text_encoder_row{
    .folder = text_encoder,
    .files = text_encoder_files,
    .weights = Library::transformers,
    .rehearse = rehearse_text_encoder,
    .published =
        "text_encoder/ of PixArt-alpha/PixArt-XL-2-1024-MS, t5xxl_fp16.safetensors of comfyanonymous/flux_text_encoders, "
        "or a GGUF file of city96/t5-v1_1-xxl-encoder-gguf"};
// Not required where another decoder is named.
constexpr ComponentRow vae_row(const char* published) {
    return {.folder = vae,
            .files = decoder_files,
            .required = false,
            .weights = Library::diffusers,
            .rehearse = rehearse_decoder,
            .published = published};
}
constexpr ComponentRow alpha_vae = vae_row(
                           "vae/ of PixArt-alpha/PixArt-XL-2-1024-MS, or diffusion_pytorch_model.safetensors of "
                           "stabilityai/sd-vae-ft-ema"),
                       sigma_vae = vae_row("vae/ of PixArt-alpha/pixart_sigma_sdxlvae_T5_diffusers"),
                       dit_vae = vae_row(
                           "vae/ of facebook/DiT-XL-2-256, or diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-mse");

constexpr std::array alpha_components{scheduler_row, transformer_row, tokenizer_row, text_encoder_row, alpha_vae};
constexpr std::array sigma_components{scheduler_row, transformer_row, tokenizer_row, text_encoder_row, sigma_vae};
constexpr std::array class_components{scheduler_row, transformer_row, dit_vae};
constexpr std::array facebook_components{transformer_row, dit_vae};

// As the converters of the original weights write it (diffusers, scripts/convert_{pixart_*,dit}_to_diffusers.py).
constexpr const char *pixart_schedule = R"({"_class_name": "DPMSolverMultistepScheduler"})",
                     *dit_schedule = R"({"_class_name": "DDIMScheduler", "clip_sample": false})",
                     *facebook_schedule = R"({"_class_name": "SpacedDiffusion"})";

std::unique_ptr<RequestRules> rules_of(const ModelFolder& folder, OneStep one_step) {
    // A pipeline without one has its own, whatever the model that lends the rest has.
    if (!folder.row_of(scheduler) || folder.lacks(scheduler))
        return make_diffusion_rules(folder.row->schedule, folder.path, folder.defaults(), {}, one_step);
    const ComponentSource source = folder.source(scheduler);
    return read_diffusion_rules(source.path, source.class_name, folder.defaults(), one_step);
}

std::unique_ptr<RequestRules> schedule_rules(const ModelFolder& folder) {
    return rules_of(folder, OneStep::stepped);
}

// At one step its picture is the data prediction.
std::unique_ptr<RequestRules> pixart_alpha_rules(const ModelFolder& folder) {
    return rules_of(folder, OneStep::predicted);
}

GridSizes transformer_sizes(const ModelFolder& folder) {
    return read_denoiser_sizes(folder.source(transformer));
}

std::unique_ptr<Generator> denoising_transformer(const ModelFolder& folder, Backend& backend, DType compute) {
    return make_diffusion(load_denoiser(backend, folder.source(transformer), compute));
}

std::unique_ptr<Prompts> text_prompts(const ModelFolder& folder, const Generator& generator, Backend& backend, DType compute,
                                      const PromptOptions& options) {
    if (generator.classes() > 0)
        throw Error(ErrorCode::input, "is class-conditional, but " + folder.pipeline_class + " lists a text encoder",
                    folder.component(transformer));
    auto prompts = load_text_prompts(folder.source(tokenizer), folder.source(text_encoder), folder.max_prompt_tokens, backend,
                                     compute, options);
    if (generator.text_width() > 0 && generator.text_width() != prompts->width())
        throw Error(ErrorCode::input,
                    "makes texts of width " + std::to_string(prompts->width()) + ", but the transformer (" +
                        folder.component(transformer) + ") reads width " + std::to_string(generator.text_width()),
                    folder.component(text_encoder));
    return prompts;
}

std::unique_ptr<Prompts> class_prompts(const ModelFolder& folder, const Generator& generator, Backend& backend, DType compute,
                                       const PromptOptions& options) {
    // A pipeline of classes that lists a text encoder has one wrong part or another: the transformer says which.
    if (generator.classes() == 0 || folder.components.contains(text_encoder))
        return text_prompts(folder, generator, backend, compute, options);
    return load_class_prompts(folder, generator.classes());
}

// What all of them have: one transformer that denoises, and an autoencoder.
constexpr PipelineRow diffusion_row(const char* class_name, std::span<const ComponentRow> components) {
    PipelineRow row{};
    row.class_name = class_name;
    row.components = components;
    row.read_rules = schedule_rules;
    row.read_sizes = transformer_sizes;
    row.load_generator = denoising_transformer;
    row.generator = transformer;
    row.decoder = vae;
    row.read_factor = read_decoder_factor;
    row.load_decoder = load_decoder;
    row.load_encoder = load_encoder;
    row.rehearse_encoder = rehearse_encoder;
    return row;
}

constexpr PipelineRow dit_row(const char* class_name, std::span<const ComponentRow> components, int steps, const char* schedule) {
    PipelineRow row = diffusion_row(class_name, components);
    row.steps = steps;
    row.cfg_scale = 4.0;
    row.max_prompt_tokens = 1;
    row.conditioning = ConditioningKind::labels;
    row.load_prompts = class_prompts;
    row.schedule = schedule;
    return row;
}

constexpr PipelineRow pixart_row(const char* class_name, std::span<const ComponentRow> components, int max_prompt_tokens,
                                 bool is_sigma) {
    PipelineRow row = diffusion_row(class_name, components);
    row.steps = 20;
    row.cfg_scale = 4.5;
    row.max_prompt_tokens = max_prompt_tokens;
    row.conditioning = ConditioningKind::text;
    row.load_prompts = text_prompts;
    row.schedule = pixart_schedule;
    row.is_sigma = is_sigma;
    row.size_bins = is_sigma ? pixart_sigma_bins : pixart_alpha_bins;
    if (!is_sigma) row.read_rules = pixart_alpha_rules;
    return row;
}

// A transformer as facebook published it, by its own formulas; there are no folders of it.
constexpr PipelineRow facebook_row() {
    PipelineRow row = dit_row("DiT", facebook_components, 250, facebook_schedule);
    row.has_folders = false;
    return row;
}

constexpr std::array rows{dit_row("DiTPipeline", class_components, 50, dit_schedule),
                          pixart_row("PixArtAlphaPipeline", alpha_components, 120, false),
                          pixart_row("PixArtSigmaPipeline", sigma_components, 300, true), facebook_row()};

}  // namespace

std::span<const PipelineRow> built_in_pipelines() {
    return rows;
}

const PipelineRow* find_pipeline(const std::string& class_name) {
    const auto table = pipelines();
    const auto row = std::ranges::find(table, class_name, [](const PipelineRow& r) { return std::string(r.class_name); });
    return row == table.end() ? nullptr : &*row;
}

}  // namespace t2i
