// The pipelines that t2i can run, a row each. Who reads a folder, loads an engine or checks a request asks this table.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "generators/generator.h"
#include "generators/prompts.h"
#include "generators/size_bins.h"
#include "models/registry.h"

namespace t2i {

struct ModelFolder;

struct ComponentRow {
    const char* folder;
    // The files in it that are read, which a model's hash covers; of the decoder also of a single file. Throws Error{input}
    // naming what is missing.
    std::vector<std::string> (*files)(const ComponentSource& source);
    // What decides beside the contents of the files, by the class that model_index.json names; empty: nothing does.
    std::string (*rules)(const ComponentSource& source) = nullptr;
    bool required = true;              // without it nothing can be drawn
    std::optional<Library> weights{};  // whose names its weights' files have; nothing: it has no weights
    // Throws and logs what loading it would, without reading its weights; null: it has none.
    void (*rehearse)(const ComponentSource& source) = nullptr;
    const char* formerly = nullptr;   // what early models call the folder
    const char* published = nullptr;  // where people who have another part alone find it: files of published pages
    const char* class_key = nullptr;  // of its JSON file, where another class makes another picture of the same files
};

enum class ConditioningKind : std::uint8_t { text, labels };

struct PipelineRow {
    const char* class_name;  // _class_name of model_index.json, or of a transformer's maker
    std::span<const ComponentRow> components;
    bool has_folders = true;  // in diffusers layout; else its weights are published as a file alone
    // Where a request and t2i.json are silent (diffusers' __call__).
    int steps;  // 0: the generator has none
    double cfg_scale;
    int max_prompt_tokens;
    ConditioningKind conditioning;  // what a prompt is: a text, or a class's name or number
    // Both need no weights. They throw Error{input} naming the file.
    std::unique_ptr<RequestRules> (*read_rules)(const ModelFolder& folder);
    GridSizes (*read_sizes)(const ModelFolder& folder);
    // Both throw what the loaders of models/registry.h throw. compute: f32 or bf16.
    std::unique_ptr<Generator> (*load_generator)(const ModelFolder& folder, Backend& backend, DType compute);
    std::unique_ptr<Prompts> (*load_prompts)(const ModelFolder& folder, const Generator& generator, Backend& backend,
                                             DType compute, const PromptOptions& options);
    const char* generator;         // the component that generates: what a single file of weights, or a folder of that alone, is
    const char* schedule;          // scheduler_config.json for such a one, where nothing lends another; null: none is read
    std::optional<bool> is_sigma;  // PartHints
    // The component that decodes, its pixels per latent or code, which need no weights, and its loader, both of a folder or file:
    // models/registry.h has them for latents.
    const char* decoder;
    std::int64_t (*read_factor)(const ComponentSource& source);
    std::unique_ptr<Decoder> (*load_decoder)(Backend& backend, const ComponentSource& source, DType compute);
    // The decoder's other half, for requests that begin with a picture, and whether it is there, as a rehearsal; null: there is
    // none, and the rules refuse such requests (refuse_init_image).
    std::unique_ptr<LatentEncoder> (*load_encoder)(Backend& backend, const ComponentSource& source, DType compute) = nullptr;
    void (*rehearse_encoder)(const ComponentSource& source) = nullptr;
    // The sizes, in pixels, that the pipeline draws at where a request asks for binning, by the default side of its grid; empty:
    // it has none for such a model. Null: it has none at all.
    std::vector<SizeBin> (*size_bins)(std::int64_t side) = nullptr;
};

// The rows of this build.
[[nodiscard]] std::span<const PipelineRow> built_in_pipelines();

// The rows that the program has: the built-in ones, unless it brings a table of its own. This function is a weak symbol, alone
// in its file: a program that defines pipelines() itself, say as built_in_pipelines() and a row more, gets its own, whether the
// rooms come as archives (ours is not even drawn in), as loose object files or as one library of them (the strong definition
// wins). There is no list to change at run time, so no order of initialisation and no lock.
[[nodiscard]] std::span<const PipelineRow> pipelines();

// The row of a class; null when there is none.
[[nodiscard]] const PipelineRow* find_pipeline(const std::string& class_name);

}  // namespace t2i
