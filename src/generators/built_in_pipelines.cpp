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

constexpr std::array<PipelineRow, 4> rows{{
    {.class_name = "DiTPipeline",
     .components = class_components,
     .steps = 50,
     .cfg_scale = 4.0,
     .max_prompt_tokens = 1,
     .conditioning = ConditioningKind::labels,
     .read_rules = schedule_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = class_prompts,
     .generator = transformer,
     .schedule = dit_schedule,
     .is_sigma = {},
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder},
    {.class_name = "PixArtAlphaPipeline",
     .components = alpha_components,
     .steps = 20,
     .cfg_scale = 4.5,
     .max_prompt_tokens = 120,
     .conditioning = ConditioningKind::text,
     .read_rules = pixart_alpha_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = text_prompts,
     .generator = transformer,
     .schedule = pixart_schedule,
     .is_sigma = false,
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder,
     .size_bins = pixart_alpha_bins},
    {.class_name = "PixArtSigmaPipeline",
     .components = sigma_components,
     .steps = 20,
     .cfg_scale = 4.5,
     .max_prompt_tokens = 300,
     .conditioning = ConditioningKind::text,
     .read_rules = schedule_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = text_prompts,
     .generator = transformer,
     .schedule = pixart_schedule,
     .is_sigma = true,
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder,
     .size_bins = pixart_sigma_bins},
    // A transformer as facebook published it, by its own formulas; there are no folders of it.
    {.class_name = "DiT",
     .components = facebook_components,
     .has_folders = false,
     .steps = 250,
     .cfg_scale = 4.0,
     .max_prompt_tokens = 1,
     .conditioning = ConditioningKind::labels,
     .read_rules = schedule_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = class_prompts,
     .generator = transformer,
     .schedule = facebook_schedule,
     .is_sigma = {},
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder},
}};

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
