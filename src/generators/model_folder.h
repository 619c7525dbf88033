// A model folder in diffusers layout: model_index.json, one folder per component, optionally t2i.json.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "generators/diffusion.h"
#include "generators/pipelines.h"
#include "text/class_names.h"

namespace t2i {

// "vocabulary" of t2i.json: a text, or an object of texts, numbers, lists of texts and objects of such lists.
struct Vocabulary {
    std::vector<std::pair<std::string, std::vector<std::string>>>
        entries;                     // by name, in the file's order; a text is a list of one
    std::vector<std::string> words;  // of the entry "words", all languages: what has_known_word() looks for
};

struct ModelFolder {
    std::string path;
    std::string name;                               // the folder's own name
    std::string pipeline_class;                     // "PixArtAlphaPipeline"
    std::map<std::string, std::string> components;  // folder → class, without the [null, null] ones
    const PipelineRow* row = nullptr;               // of the table of pipelines
    std::shared_ptr<const RequestRules> rules;      // what may be asked of its generator
    // t2i.json, or what the pipeline class implies
    int steps = 20;  // 0: the generator has none
    double cfg_scale = 4.5;
    int max_prompt_tokens = 120;
    std::vector<ClassLabel> classes;  // id2label of a class-conditional pipeline, in the file's order; may be empty
    Vocabulary vocabulary;            // what the model can draw, as t2i.json says it; may be empty

    // The folder of a component; throws Error{input} when model_index.json does not list it or it is not there.
    [[nodiscard]] std::string component(const std::string& name) const;
    // The decoder's folder, or another one's path.
    [[nodiscard]] std::string decoder(const std::string& another = {}) const;
    // Throws Error{input} as component() does, for the first that the pipeline cannot do without.
    void check_components() const;
    [[nodiscard]] GenerationDefaults defaults() const { return {.steps = steps, .cfg_scale = cfg_scale}; }
};

// Throws Error{input} naming the file: no such folder, no or broken model_index.json, unknown pipeline class, broken
// id2label or t2i.json, and what the pipeline's rules are read from (a diffusion model's schedule).
[[nodiscard]] ModelFolder read_model_folder(const std::string& path);

// The sizes that a model can draw, in pixels.
struct PictureSizes {
    int side = 0;               // default width and height
    std::int64_t multiple = 1;  // both are multiples of it, up to 4096
};
// From the configs of a model and its decoder; needs no weights. decoder: another one's path, or empty. Throws Error{input}
// naming the file.
[[nodiscard]] PictureSizes read_picture_sizes(const ModelFolder& folder, const std::string& decoder = {});

}  // namespace t2i
