#include "generators/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json_options.h"
#include "core/nearest.h"
#include "core/number_text.h"
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
        for (const auto& [language, list] : value.items())
            if (key == "words") std::ranges::move(texts(list, key, where), std::back_inserter(v.words));
            else add(key + " (" + language + ")", list);
    }
    return v;
}

void read_t2i_json(ModelFolder& m) {
    const fs::path path = fs::path(m.path) / "t2i.json";
    if (!fs::exists(path)) return;
    const JsonOptions options = JsonOptions::read(path.string());
    if (m.steps > 0) m.steps = static_cast<int>(options.integer("steps", m.steps, 1, most_steps));
    m.cfg_scale = options.number("cfg_scale", m.cfg_scale, 0.0, 100.0);
    m.max_prompt_tokens = static_cast<int>(options.integer("max_prompt_tokens", m.max_prompt_tokens, 2, 4096));
    if (const json* vocabulary = options.find("vocabulary")) m.vocabulary = read_vocabulary(*vocabulary, path.string());
}

void read_components(const json& index, ModelFolder& m, const std::string& where) {
    for (const auto& [key, value] : index.items()) {
        if (!value.is_array()) continue;
        if (value.size() != 2) throw Error(ErrorCode::input, "component \"" + key + "\" is not [library, class]", where);
        if (value[1].is_string()) m.components[key] = value[1].get<std::string>();
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

std::string ModelFolder::component(const std::string& component_name) const {
    if (!components.contains(component_name))
        throw Error(ErrorCode::input, "lists no component \"" + component_name + "\"",
                    (fs::path(path) / "model_index.json").string());
    const auto folder = fs::path(path) / component_name;
    if (!fs::is_directory(folder)) throw Error(ErrorCode::input, "component folder is missing", folder.string());
    return folder.string();
}

std::string ModelFolder::decoder(const std::string& another) const {
    return another.empty() ? component(row->decoder) : another;
}

PictureSizes read_picture_sizes(const ModelFolder& folder, const std::string& decoder) {
    const GridSizes grid = folder.row->read_sizes(folder);
    const std::int64_t factor = folder.row->read_factor(folder.decoder(decoder));
    return {.side = static_cast<int>(grid.side * factor), .multiple = grid.multiple * factor};
}

void ModelFolder::check_components() const {
    for (const ComponentRow& part : row->components)
        if (part.required) static_cast<void>(component(part.folder));
}

ModelFolder read_model_folder(const std::string& path) {
    const fs::path root(path);
    if (!fs::exists(root)) throw Error(ErrorCode::input, "no such model folder", path);
    if (!fs::is_directory(root))
        throw Error(ErrorCode::input, "is not a model folder (one with model_index.json, in diffusers layout)", path);
    const auto index_path = root / "model_index.json";
    if (!fs::exists(index_path)) throw Error(ErrorCode::input, "not a model folder: it has no model_index.json", path);

    ModelFolder m;
    m.path = path;
    m.name = fs::weakly_canonical(root).filename().string();
    const JsonOptions options = JsonOptions::read(index_path.string());
    const json& index = options.all();
    if (!options.has("_class_name")) throw options.error("_class_name", "is missing");
    m.pipeline_class = options.text("_class_name", {});
    m.row = find_pipeline(m.pipeline_class);
    if (!m.row) {
        std::string names;
        for (const PipelineRow& row : pipelines()) names += std::string(names.empty() ? "" : ", ") + row.class_name;
        throw Error(ErrorCode::input, "pipeline \"" + m.pipeline_class + "\" is not supported (supported: " + names + ")",
                    index_path.string());
    }
    m.steps = m.row->steps;
    m.cfg_scale = m.row->cfg_scale;
    m.max_prompt_tokens = m.row->max_prompt_tokens;
    read_components(index, m, index_path.string());
    read_classes(index, m, index_path.string());
    read_t2i_json(m);
    m.rules = m.row->read_rules(m);
    return m;
}

}  // namespace t2i
