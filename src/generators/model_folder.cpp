#include "generators/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/escape.h"
#include "core/files.h"
#include "core/json_options.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "core/stand_in.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // of two classes with one name the last in the file has it

namespace {

// A list of texts, or one text.
std::vector<std::string> texts(const json& list, const std::string& key, const std::string& where) {
    std::vector<std::string> out;
    for (const auto& item : list) {
        if (!item.is_string())
            throw Error(ErrorCode::input, "\"vocabulary\": " + in_quotes(key) + " is neither a text nor a list of texts", where);
        out.push_back(item.get<std::string>());
    }
    return out;
}

// "kitten: cat; cat face"
std::pair<std::string, std::vector<std::string>> keyword(const std::string& text, const std::string& where) {
    const auto colon = text.find(": ");
    if (colon == 0 || colon == std::string::npos)
        throw Error(ErrorCode::input, "\"vocabulary\": the keyword " + in_quotes(text) + " is not KEYWORD: NAME; NAME", where);
    std::vector<std::string> names;
    for (std::size_t at = colon + 2; at <= text.size();) {
        const auto end = std::min(text.find("; ", at), text.size());
        names.push_back(text.substr(at, end - at));
        at = end + 2;
    }
    return {text.substr(0, colon), std::move(names)};
}

Vocabulary read_vocabulary(const json& j, const std::string& where) {
    Vocabulary v;
    const auto add = [&](const std::string& key, const json& value) {
        v.entries.emplace_back(key, value.is_number() ? std::vector{value.dump()} : texts(value, key, where));
    };
    if (!j.is_object()) return add("", j), v;
    for (const auto& [key, value] : j.items()) {
        if (!value.is_object()) {
            add(key, value);
            continue;
        }
        for (const auto& [language, list] : value.items()) {
            const auto join = [&](std::vector<std::string>& all) {
                std::ranges::move(texts(list, key, where), std::back_inserter(all));
            };
            if (key == "words") join(v.learnt.words);
            else if (key == "phrases") join(v.learnt.phrases);
            else if (key == "keywords")
                for (const std::string& text : texts(list, key, where)) v.learnt.keywords.push_back(keyword(text, where));
            else add(key + " (" + language + ")", list);
            if (key == "names") join(v.learnt.names);
        }
    }
    return v;
}

void read_t2i_json(ModelFolder& m) {
    const fs::path path = fs::path(m.path) / "t2i.json";
    if (!exists_at_all(path.string())) return;
    const JsonOptions options = JsonOptions::read(path.string());
    if (m.steps > 0) m.steps = static_cast<int>(options.integer("steps", m.steps, 1, most_steps));
    m.cfg_scale = options.number("cfg_scale", m.cfg_scale, 0.0, 100.0);
    m.max_prompt_tokens = static_cast<int>(options.integer("max_prompt_tokens", m.max_prompt_tokens, 2, 4096));
    if (const json* vocabulary = options.find("vocabulary")) m.vocabulary = read_vocabulary(*vocabulary, path.string());
}

// What pictures do not need may be anything.
void read_components(const json& index, ModelFolder& m, const std::string& where) {
    for (const auto& [key, value] : index.items()) {
        if (!value.is_array()) continue;
        if (value.size() == 2 && value[1].is_string())
            m.components[key] = {value[0].is_string() ? value[0].get<std::string>() : "", value[1].get<std::string>()};
        else if (m.row_of(key) && !(value.size() == 2 && value[1].is_null()))
            throw Error(ErrorCode::input, "component \"" + key + "\" is not [library, class]", where);
    }
}

// {"207": "golden retriever", …}
void read_classes(const json& index, ModelFolder& m, const std::string& where) {
    const auto it = index.find("id2label");
    if (it == index.end() || it->is_null()) return;
    if (!it->is_object()) throw Error(ErrorCode::input, "\"id2label\" is not an object", where);
    for (const auto& [key, names] : it->items()) {
        const auto id = parse_number<decltype(ClassLabel::id)>(key);
        if (!id || *id < 0 || !names.is_string())
            throw Error(ErrorCode::input,
                        "\"id2label\" holds a bad entry " + in_quotes(key) + ": a number and a name are asked for", where);
        m.classes.push_back({.id = *id, .names = names.get<std::string>()});
    }
}

}  // namespace

const ComponentRow* ModelFolder::row_of(const std::string& listed) const {
    const auto found = std::ranges::find_if(row->components, [&](const ComponentRow& part) {
        return listed == part.folder || (part.formerly && listed == part.formerly && !components.contains(part.folder));
    });
    return found == row->components.end() ? nullptr : &*found;
}

ComponentSource ModelFolder::locate(const std::string& component_name) const {
    const auto at = [&](const std::string& where) { return ComponentSource{where, {}, options.variant, options.log}; };
    for (const NamedPart& part : named)
        if (part.component == component_name) return at(part.path);
    if (!generator.empty()) {
        if (component_name == row->generator) return at(generator);
        if (base) return base->locate(component_name);
        throw missing(component_name, {});
    }
    auto listed = components.find(component_name);
    if (const ComponentRow* part = row_of(component_name); listed == components.end() && part && part->formerly)
        listed = components.find(part->formerly);
    std::error_code ec;
    const std::string folder = listed == components.end() ? std::string() : (fs::path(path) / listed->first).string();
    if (!folder.empty() && fs::is_directory(folder, ec)) return {folder, listed->second.name, options.variant, options.log};
    if (base) return base->locate(component_name);
    if (folder.empty())
        throw Error(ErrorCode::input, "lists no component \"" + component_name + "\"",
                    (fs::path(path) / "model_index.json").string());
    const std::string problem = absence_problem(folder);
    throw Error(ErrorCode::input, problem.empty() ? "component folder is missing" : problem, folder);
}

ComponentSource ModelFolder::source(const std::string& component_name) const {
    ComponentSource found = locate(component_name);
    found.hints = hints(component_name);
    return found;
}

std::string ModelFolder::component(const std::string& component_name) const {
    return source(component_name).path;
}

ComponentSource ModelFolder::decoder(const std::string& another) const {
    if (another.empty()) return source(row->decoder);
    ComponentSource found{another, {}, options.variant, options.log};
    found.hints = hints(row->decoder);
    return found;
}

PictureSizes read_picture_sizes(const ModelFolder& folder, const std::string& decoder) {
    const GridSizes grid = folder.row->read_sizes(folder);
    const std::int64_t factor = folder.row->read_factor(folder.decoder(decoder));
    return {.side = static_cast<int>(grid.side * factor),
            .multiple = grid.multiple * factor,
            .bins = folder.row->size_bins ? folder.row->size_bins(grid.side) : std::vector<SizeBin>()};
}

void ModelFolder::check_components(const std::string& another_decoder) const {
    for (const ComponentRow& part : row->components) {
        const bool is_replaced = std::string_view(part.folder) == row->decoder && !another_decoder.empty();
        if (lacks(part.folder)) {
            if (part.published && !is_replaced) throw missing(part.folder, another_decoder);
        } else if (part.required) {
            static_cast<void>(component(part.folder));
        }
    }
    if (options.variant.empty()) return;
    const bool is_there = std::ranges::any_of(row->components, [&](const ComponentRow& part) {
        if (!part.weights || lacks(part.folder)) return false;
        const bool decodes = std::string_view(part.folder) == row->decoder;
        const std::string folder = decodes ? decoder(another_decoder).path : component(part.folder);
        return has_variant({.path = folder, .library = *part.weights, .variant = options.variant});
    });
    if (!is_there)
        throw Error(ErrorCode::input, "no component has files of this variant (" + in_quotes(options.variant) + ")",
                    Field{"variant"});
}

namespace {

void check_is_model_folder(const fs::path& root) {
    const std::string path = root.string();
    std::error_code ec;
    const fs::file_status status = fs::status(root, ec);
    if (!fs::exists(status)) {
        const std::string problem = absence_problem(path);
        const bool is_denied = ec == std::errc::permission_denied;
        throw Error(ErrorCode::input,
                    is_denied         ? "cannot be read: " + ec.message()
                    : problem.empty() ? "no such model folder"
                                      : problem,
                    path);
    }
    check_is_no_device(path);
    if (!fs::is_directory(status))
        throw Error(ErrorCode::input, "is not a model folder (one with model_index.json, in diffusers layout)", path);
    const fs::path index = root / "model_index.json";
    if (fs::exists(fs::symlink_status(index, ec))) return;
    if (ec && ec != std::errc::no_such_file_or_directory)
        throw Error(ErrorCode::input, "cannot be read: " + ec.message(), index.string());
    if (const std::string part = part_without_weights(path); !part.empty())
        throw Error(ErrorCode::input, "is " + part + " alone; a model is the folder above it, which has model_index.json", path);
    throw Error(ErrorCode::input, "not a model folder: it has no model_index.json", path);
}

}  // namespace

std::string part_without_weights(const std::string& folder) {
    const auto holds = [&](const char* name) { return is_plain_file((fs::path(folder) / name).string()); };
    if (holds("config.json")) return {};
    if (holds("scheduler_config.json")) return "a scheduler's folder";
    for (const char* name : {"tokenizer_config.json", "tokenizer.json", "spiece.model"})
        if (holds(name)) return "a tokenizer's folder";
    return {};
}

std::string name_of_folder(const std::string& path) {
    std::error_code ec;
    const fs::path whole = fs::weakly_canonical(path, ec);
    return escaped((ec ? fs::path(path) : whole).filename().string());
}

const PipelineRow& pipeline_row(const std::string& class_name, const std::string& where) {
    if (const PipelineRow* row = find_pipeline(class_name)) return *row;
    std::string names;
    for (const PipelineRow& row : pipelines())
        if (row.has_folders) names += std::string(names.empty() ? "" : ", ") + row.class_name;
    throw Error(ErrorCode::input, "pipeline \"" + class_name + "\" is not supported (supported: " + names + ")", where);
}

void take_row(ModelFolder& folder, const PipelineRow& row) {
    folder.row = &row;
    folder.pipeline_class = row.class_name;
    folder.steps = row.steps;
    folder.cfg_scale = row.cfg_scale;
    folder.max_prompt_tokens = row.max_prompt_tokens;
}

ModelFolder read_layout(const std::string& path, const ModelFolderOptions& options_of_it) {
    const fs::path root(path);
    check_is_model_folder(root);
    const auto index_path = root / "model_index.json";
    ModelFolder m;
    m.path = path;
    m.options = options_of_it;
    m.name = name_of_folder(path);
    const JsonOptions options = JsonOptions::read(index_path.string());
    const json& index = options.all();
    if (!options.has("_class_name")) throw options.error("_class_name", "is missing");
    take_row(m, pipeline_row(options.text("_class_name", {}), index_path.string()));
    read_components(index, m, index_path.string());
    read_classes(index, m, index_path.string());
    read_t2i_json(m);
    return m;
}

namespace {

// Nothing: no DiT, or one that cannot be read: whoever loads it says why. Throws where formulas are named for it.
std::optional<PartDescription> describe_generator(const ModelFolder& m) {
    const ComponentRow* part = m.row_of(m.row->generator);
    if (m.row->conditioning != ConditioningKind::labels || !part || !part->weights) return std::nullopt;
    try {
        ComponentSource source = m.source(m.row->generator);
        source.hints.as_diffusers = m.formulas == "diffusers";
        return describe_denoiser(source);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::input || !m.formulas.empty()) throw;
        return std::nullopt;
    }
}

}  // namespace

void follow_transformer(ModelFolder& m) {
    const auto part = describe_generator(m);
    const bool is_facebooks = part && part->is_facebooks;
    if (!m.formulas.empty() && !is_facebooks)
        throw Error(ErrorCode::invalid_argument,
                    "is for weights of facebook's DiT, and the transformer of " + in_quotes(m.name) + " is none",
                    Field{"formulas"});
    if (!part || part->pipeline == m.row->class_name || (!is_facebooks && m.row->has_folders)) return;
    take_row(m, pipeline_row(part->pipeline, m.path));
    m.notes.push_back(std::string(m.row->generator) + ": is " + part->title + ", for " + m.row->class_name);
}

ModelFolder read_model_folder(const std::string& path, const ModelFolderOptions& options) {
    ModelFolder m = read_layout(path, options);
    follow_transformer(m);
    m.rules = m.row->read_rules(m);
    return m;
}

}  // namespace t2i
