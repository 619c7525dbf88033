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

constexpr std::array<ComponentRow, 5> text_components{{{scheduler, schedule_files},
                                                       {transformer, component_files},
                                                       {tokenizer, tokenizer_files},
                                                       {text_encoder, component_files},
                                                       {vae, decoder_files, false}}};  // not where another decoder is named
constexpr std::array<ComponentRow, 3> class_components{
    {{scheduler, schedule_files}, {transformer, component_files}, {vae, decoder_files, false}}};

std::unique_ptr<RequestRules> schedule_rules(const ModelFolder& folder) {
    return read_diffusion_rules(folder.component(scheduler), folder.defaults());
}

GridSizes transformer_sizes(const ModelFolder& folder) {
    return read_denoiser_sizes(folder.component(transformer));
}

std::unique_ptr<Generator> denoising_transformer(const ModelFolder& folder, Backend& backend, DType compute) {
    return make_diffusion(load_denoiser(backend, folder.component(transformer), compute));
}

std::unique_ptr<Prompts> text_prompts(const ModelFolder& folder, const Generator& generator, Backend& backend, DType compute,
                                      const PromptOptions& options) {
    if (generator.classes() > 0)
        throw Error(ErrorCode::input, "is class-conditional, but " + folder.pipeline_class + " lists a text encoder",
                    folder.component(transformer));
    return load_text_prompts(folder.component(tokenizer), folder.component(text_encoder), folder.max_prompt_tokens, backend,
                             compute, options);
}

std::unique_ptr<Prompts> class_prompts(const ModelFolder& folder, const Generator& generator, Backend& backend, DType compute,
                                       const PromptOptions& options) {
    // A pipeline of classes that lists a text encoder has one wrong part or another: the transformer says which.
    if (generator.classes() == 0 || folder.components.contains(text_encoder))
        return text_prompts(folder, generator, backend, compute, options);
    return load_class_prompts(folder, generator.classes());
}

constexpr std::array<PipelineRow, 3> rows{{
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
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder},
    {.class_name = "PixArtAlphaPipeline",
     .components = text_components,
     .steps = 20,
     .cfg_scale = 4.5,
     .max_prompt_tokens = 120,
     .conditioning = ConditioningKind::text,
     .read_rules = schedule_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = text_prompts,
     .decoder = vae,
     .read_factor = read_decoder_factor,
     .load_decoder = load_decoder},
    {.class_name = "PixArtSigmaPipeline",
     .components = text_components,
     .steps = 20,
     .cfg_scale = 4.5,
     .max_prompt_tokens = 300,
     .conditioning = ConditioningKind::text,
     .read_rules = schedule_rules,
     .read_sizes = transformer_sizes,
     .load_generator = denoising_transformer,
     .load_prompts = text_prompts,
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
