// A model folder in diffusers layout: model_index.json, one folder per component, optionally t2i.json. Of what else a model may
// be put together: model_parts.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "generators/diffusion.h"
#include "generators/pipelines.h"
#include "text/class_names.h"
#include "text/known_words.h"

namespace t2i {

// "vocabulary" of t2i.json: a text, or an object of texts, numbers, lists of texts and objects of such lists.
struct Vocabulary {
    std::vector<std::pair<std::string, std::vector<std::string>>>
        entries;         // by name, in the file's order; a text is a list of one
    LearntWords learnt;  // of the entries "names", "words", "keywords" and "phrases", the last three of which are not listed
};

// A component as model_index.json lists it: ["transformers", "T5EncoderModel"].
struct ListedClass {
    std::string library, name;
};

// How a folder is read.
struct ModelFolderOptions {
    std::string variant{};  // of the weights' files: see ComponentFolder
    Log log{};              // hears of what is passed over
};

// A part that was named in place of the model's.
struct NamedPart {
    std::string component;  // "transformer"
    std::string path;       // folder or file
};

struct ModelFolder {
    std::string path;
    ModelFolderOptions options;
    std::string name;                               // the folder's own name, in UTF-8
    std::string pipeline_class;                     // "PixArtAlphaPipeline"
    std::map<std::string, ListedClass> components;  // by folder, without the [null, null] ones
    const PipelineRow* row = nullptr;               // of the table of pipelines
    std::shared_ptr<const RequestRules> rules;      // what may be asked of its generator
    // t2i.json, or what the pipeline class implies
    int steps = 20;  // 0: the generator has none
    double cfg_scale = 4.5;
    int max_prompt_tokens = 120;
    std::vector<ClassLabel> classes;  // id2label of a class-conditional pipeline, in the file's order; may be empty
    Vocabulary vocabulary;            // what the model can draw, as t2i.json says it; may be empty
    // Of a model of parts.
    std::vector<NamedPart> named;             // at most one a component
    std::shared_ptr<const ModelFolder> base;  // lends what this one lacks; may be null
    std::string generator;           // of a model without model_index.json, which is a transformer alone: its folder or file
    std::string formulas;            // ModelParts
    std::vector<std::string> notes;  // a line each: what no config says, and what told it instead

    // The folder, or file, of a component; throws Error{input} when model_index.json does not list it or it is not there, of a
    // transformer alone about the option that would name it, saying where it is published.
    [[nodiscard]] std::string component(const std::string& name) const;
    // The same with what model_index.json says of it.
    [[nodiscard]] ComponentSource source(const std::string& name) const;
    // Of the model's own decoder, or of another one's path.
    [[nodiscard]] ComponentSource decoder(const std::string& another = {}) const;
    // Throws Error{input} as component() does, for the first that the pipeline cannot do without, and where none has files of the
    // variant that is asked for.
    // another_decoder: the path of one that is used in place of the model's; may be empty.
    void check_components(const std::string& another_decoder = {}) const;
    // Of a transformer alone: nothing lends that component.
    [[nodiscard]] bool lacks(const std::string& component_name) const;
    // The row of a component by the name of its folder; null: pictures do not need it.
    [[nodiscard]] const ComponentRow* row_of(const std::string& listed) const;
    [[nodiscard]] GenerationDefaults defaults() const { return {.steps = steps, .cfg_scale = cfg_scale}; }

  private:
    [[nodiscard]] ComponentSource locate(const std::string& component_name) const;
    [[nodiscard]] PartHints hints(const std::string& component_name) const;
    [[nodiscard]] Error missing(const std::string& component_name, const std::string& another_decoder) const;
};

// Throws Error{input} naming the file: no such folder, no or broken model_index.json, unknown pipeline class, broken
// id2label or t2i.json, and what the pipeline's rules are read from (a diffusion model's schedule).
[[nodiscard]] ModelFolder read_model_folder(const std::string& path, const ModelFolderOptions& options = {});
// The same without the rules, which are read last.
[[nodiscard]] ModelFolder read_layout(const std::string& path, const ModelFolderOptions& options);
// The row of a class, and what it implies of a folder, in its place. Throws Error{input}: there is none; `where` names the file.
[[nodiscard]] const PipelineRow& pipeline_row(const std::string& class_name, const std::string& where);
void take_row(ModelFolder& folder, const PipelineRow& row);
// A transformer under facebook's names of DiT makes its folder facebook's pipeline, by facebook's formulas, unless
// ModelFolder::formulas says otherwise; one of diffusers makes it diffusers'. Throws Error{invalid_argument} about the field
// formulas where they are named and the transformer is no such one.
void follow_transformer(ModelFolder& folder);
// "a scheduler's folder": what a component's folder is that has no weights; empty: nothing of this kind.
[[nodiscard]] std::string part_without_weights(const std::string& folder);
// Of a path, which may have any bytes, the last name as a text.
[[nodiscard]] std::string name_of_folder(const std::string& path);

// The sizes that a model can draw, in pixels.
struct PictureSizes {
    int side = 0;               // default width and height
    std::int64_t multiple = 1;  // both are multiples of it, up to 4096
    std::vector<SizeBin> bins;  // what its pipeline draws at for a request of another size; empty: it has no such table
};
// From the configs of a model and its decoder; needs no weights. decoder: another one's path, or empty. Throws Error{input}
// naming the file.
[[nodiscard]] PictureSizes read_picture_sizes(const ModelFolder& folder, const std::string& decoder = {});

}  // namespace t2i
