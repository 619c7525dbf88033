#include "app/inspect.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/reader.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/nearest.h"
#include "generators/model_hash.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_format.h"
#include "pipeline/picture_read.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

namespace {

constexpr double mib = 1024.0 * 1024.0;

struct Sums {
    std::int64_t tensors = 0, parameters = 0;
    double bytes = 0;
    std::map<std::string, int> dtypes;
};

Sums sum(const CheckpointReader& reader) {
    Sums s;
    for (const auto& e : reader.entries()) {
        ++s.tensors;
        s.parameters += e.shape.elements();
        s.bytes += static_cast<double>(e.bytes);
        ++s.dtypes[e.dtype];
    }
    return s;
}

std::string dtype_list(const Sums& s) {
    std::string text;
    for (const auto& [name, count] : s.dtypes) text += (text.empty() ? "" : " ") + name;
    return text;
}

void print_sums(const char* label, const std::string& what, const Sums& s) {
    std::printf("%-14s %-28s %6lld tensors  %9.2f M parameters  %8.1f MiB  %s\n", label, what.c_str(),
                static_cast<long long>(s.tensors), static_cast<double>(s.parameters) * 1e-6, s.bytes / mib,
                dtype_list(s).c_str());
}

// An entry is a paragraph, broken between the items of a list.
void print_vocabulary(const Vocabulary& vocabulary) {
    constexpr std::size_t width = 110;  // bytes
    const char* label = "vocabulary";
    for (const auto& [key, items] : vocabulary.entries) {
        std::string line = key.empty() ? "" : escaped(key) + ":";
        for (std::size_t i = 0; i < items.size(); ++i) {
            const std::string item = escaped(items[i]) + (i + 1 < items.size() ? "," : "");
            if (i > 0 && line.size() + item.size() > width) {
                std::printf("%-14s %s\n", label, line.c_str());
                label = "";
                line = " ";
            }
            line += (line.empty() ? "" : " ") + item;
        }
        std::printf("%-14s %s\n", label, line.c_str());
        label = "";
    }
}

// Asks the configs alone; a folder without one of them can be looked at, too.
std::string sizes_text(const ModelFolder& m) {
    try {
        const PictureSizes sizes = read_picture_sizes(m);
        const std::string side = std::to_string(sizes.side);
        return side + "x" + side + "; multiples of " + std::to_string(sizes.multiple);
    } catch (const Error& error) {
        return std::string("unknown: ") + error.what();
    }
}

// A model that lacks a part can be looked at, too.
std::string hash_text(const ModelFolder& m) {
    try {
        return hash_model(m).model;
    } catch (const Error& error) {
        return std::string("unknown: ") + error.what();
    }
}

bool has_weights(const ModelFolder& m, const std::string& component) {
    return fs::exists(fs::path(m.path) / component / "config.json");
}

void print_model(const std::string& path) {
    const ModelFolder m = read_model_folder(path);
    std::printf("model          %s (%s), hash %s\n", escaped(m.name).c_str(), escaped(m.pipeline_class).c_str(),
                escaped(hash_text(m)).c_str());
    for (const auto& [component, its_class] : m.components) {
        const std::string name = escaped(component), class_name = escaped(its_class);
        if (!fs::exists(fs::path(path) / component)) std::printf("%-14s %-28s missing\n", name.c_str(), class_name.c_str());
        else if (has_weights(m, component))
            print_sums(name.c_str(), class_name, sum(*open_component((fs::path(path) / component).string())));
        else std::printf("%-14s %s\n", name.c_str(), class_name.c_str());
    }
    if (const std::string sampler = m.rules->default_sampler(); !sampler.empty())
        std::printf("sampler        %s\n", escaped(sampler).c_str());
    std::printf("size           %s\n", escaped(sizes_text(m)).c_str());
    std::printf("defaults       ");
    if (m.steps > 0) std::printf("%d steps, ", m.steps);
    std::printf("cfg-scale %g", m.cfg_scale);
    if (m.row->conditioning == ConditioningKind::text) std::printf(", prompts of up to %d tokens\n", m.max_prompt_tokens);
    else std::printf(", the prompt is the name or the number of a class\n");
    for (const auto& label : m.classes)
        std::printf("class %-8lld %s\n", static_cast<long long>(label.id), in_quotes(label.names).c_str());
    print_vocabulary(m.vocabulary);
}

void print_checkpoint(const CheckpointReader& reader) {
    for (const auto& [key, value] : reader.metadata())
        std::printf("# %s: %s\n", in_quotes(key).c_str(), in_quotes(value).c_str());
    for (const auto& e : reader.entries())
        std::printf("%-8s %-20s %s\n", escaped(e.dtype).c_str(), e.shape.text().c_str(), escaped(e.name).c_str());
    print_sums("total", "", sum(reader));
}

void print_picture(const std::string& path) {
    const PictureInfo info = read_picture_info(read_file(path, longest_picture_file), path);
    if (const std::string* text = info.parameters()) {
        std::printf("%s\n", escaped(*text, Lines::many).c_str());
        return;
    }
    std::printf("%ux%u %s without parameters\n", info.width, info.height, row_of(info.format).name);
    for (const auto& [keyword, text] : info.text)
        std::printf("%s: %s\n", escaped(keyword).c_str(), escaped(text, Lines::many).c_str());
}

json sums_json(const Sums& s) {
    return {{"tensors", s.tensors}, {"parameters", s.parameters}, {"bytes", s.bytes}, {"dtypes", s.dtypes}};
}

json model_json(const std::string& path) {
    const ModelFolder m = read_model_folder(path);
    json j{{"kind", "model"}, {"name", m.name}, {"pipeline", m.pipeline_class}, {"hash", hash_text(m)}};
    for (const auto& [name, class_name] : m.components) {
        json component{{"class", class_name}};
        if (!fs::exists(fs::path(path) / name)) component["missing"] = true;
        else if (has_weights(m, name)) component.update(sums_json(sum(*open_component((fs::path(path) / name).string()))));
        j["components"][name] = component;
    }
    j["sampler"] = m.rules->default_sampler();
    j["size"] = sizes_text(m);
    if (m.steps > 0) j["steps"] = m.steps;
    j["cfg_scale"] = m.cfg_scale;
    if (m.row->conditioning == ConditioningKind::text) j["max_prompt_tokens"] = m.max_prompt_tokens;
    for (const auto& label : m.classes) j["classes"][std::to_string(label.id)] = label.names;
    for (const auto& [key, items] : m.vocabulary.entries) j["vocabulary"][key] = items;
    return j;
}

json checkpoint_json(const CheckpointReader& reader) {
    json j{{"kind", "checkpoint"}, {"metadata", reader.metadata()}};
    for (const auto& e : reader.entries())
        j["entries"].push_back({{"name", e.name}, {"dtype", e.dtype}, {"shape", e.shape.text()}});
    j.update(sums_json(sum(reader)));
    return j;
}

json picture_json(const std::string& path) {
    const PictureInfo info = read_picture_info(read_file(path, longest_picture_file), path);
    json j{{"kind", "picture"},
           {"format", row_of(info.format).id},
           {"width", info.width},
           {"height", info.height},
           {"lossless", info.lossless}};
    const std::string* text = info.parameters();
    if (!text) {
        for (const auto& [keyword, value] : info.text) j["texts"][keyword] = value;
        return j;
    }
    j["parameters"] = *text;
    try {
        const Infotext read = read_infotext(*text, path);
        j["prompt"] = read.prompts.prompt;
        j["negative_prompt"] = read.prompts.negative_prompt;
        for (const auto& [name, value] : read.fields) j["fields"][name] = value;
    } catch (const Error&) {  // a text of another form is shown as it is
    }
    return j;
}

enum class Kind : std::uint8_t { model, component, checkpoint, picture };

Kind kind_of(const std::string& path) {
    std::error_code ec;
    if (!fs::exists(path, ec)) throw Error(ErrorCode::input, "no such file or folder", path);
    if (fs::is_directory(path, ec)) {
        const bool is_component = fs::exists(fs::path(path) / "config.json") && !fs::exists(fs::path(path) / "model_index.json");
        return is_component ? Kind::component : Kind::model;
    }
    return fs::path(path).extension() == ".safetensors" ? Kind::checkpoint : Kind::picture;
}

}  // namespace

void inspect_as_text(const std::string& path) {
    switch (kind_of(path)) {
        case Kind::model:
            return print_model(path);
        case Kind::component:
            return print_checkpoint(*open_component(path));
        case Kind::checkpoint:
            return print_checkpoint(*open_checkpoint(path));
        case Kind::picture:
            return print_picture(path);
    }
}

nlohmann::ordered_json inspect_as_json(const std::string& path) {
    switch (kind_of(path)) {
        case Kind::model:
            return model_json(path);
        case Kind::component:
            return checkpoint_json(*open_component(path));
        case Kind::checkpoint:
            return checkpoint_json(*open_checkpoint(path));
        case Kind::picture:
            break;
    }
    return picture_json(path);
}

}  // namespace t2i::app
