#include "app/inspect.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/component.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/json_options.h"
#include "core/nearest.h"
#include "core/stand_in.h"
#include "generators/model_hash.h"
#include "models/registry.h"
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

// "by group (Food & Drink)" → "Food & Drink"; empty of other entries.
std::string group_of(const std::string& key) {
    constexpr std::string_view start = "by group (";
    return key.starts_with(start) && key.ends_with(')') ? key.substr(start.size(), key.size() - start.size() - 1) : std::string();
}

// An entry is a paragraph, broken between the items of a list. Where the names are there by group, they are not listed once more.
void print_vocabulary(const Vocabulary& vocabulary) {
    constexpr std::size_t width = 110;  // bytes
    const char* label = "vocabulary";
    const bool is_grouped =
        std::ranges::any_of(vocabulary.entries, [](const auto& entry) { return !group_of(entry.first).empty(); });
    for (const auto& [key, items] : vocabulary.entries) {
        if (is_grouped && key.starts_with("names (")) continue;
        const std::string group = group_of(key);
        std::string line =
            key.empty() ? "" : escaped(group.empty() ? key : group + " (" + std::to_string(items.size()) + ")") + ":";
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

// What a component holds, or what stands in its way: a model that cannot be drawn with can be looked at, too.
struct ComponentLook {
    std::optional<Sums> sums{};  // of its weights, where it has some
    std::string problem{};       // why it cannot be drawn with, one line; may be empty
    std::string passed_over{};   // what of its weights has no place, one line; may be empty
    bool is_missing = false, is_needed = true;
};

ComponentLook look_at(const ModelFolder& m, const std::string& component) {
    const ComponentRow* row = m.row_of(component);
    if (!row) return {.is_needed = false};
    const std::string path = (fs::path(m.path) / component).string();
    try {
        if (std::error_code ec; !fs::exists(path, ec)) return {.problem = absence_problem(path), .is_missing = true};
        if (!row->weights) {
            if (row->rehearse) row->rehearse(m.source(row->folder));
            return {};
        }
        ComponentLook look;
        look.sums = sum(*open_component({.path = path, .library = *row->weights, .variant = m.options.variant}));
        try {
            ComponentSource source = m.source(row->folder);
            source.log = [&](LogLevel, const std::string& line) { look.passed_over = line; };
            if (row->rehearse) row->rehearse(source);
        } catch (const Error& error) {
            look.problem = error.what();
        }
        return look;
    } catch (const Error& error) {
        return {.problem = error.what()};
    }
}

void print_component(const ModelFolder& m, const std::string& component, const std::string& its_class) {
    const std::string name = escaped(component), class_name = escaped(its_class);
    const ComponentLook look = look_at(m, component);
    if (look.sums) {
        print_sums(name.c_str(), class_name, *look.sums);
        for (const std::string& line : {look.problem, look.passed_over})
            if (!line.empty()) std::printf("%-14s %s\n", "", escaped(line).c_str());
        return;
    }
    std::string remark = look.is_missing ? "missing" : look.is_needed ? "" : "not needed for pictures";
    if (!look.problem.empty()) remark += (remark.empty() ? "" : ": ") + escaped(look.problem);
    if (remark.empty()) std::printf("%-14s %s\n", name.c_str(), class_name.c_str());
    else std::printf("%-14s %-28s %s\n", name.c_str(), class_name.c_str(), remark.c_str());
}

void print_model(const std::string& path) {
    const ModelFolder m = read_model_folder(path);
    std::printf("model          %s (%s), hash %s\n", escaped(m.name).c_str(), escaped(m.pipeline_class).c_str(),
                escaped(hash_text(m)).c_str());
    for (const auto& [component, listed] : m.components) print_component(m, component, listed.name);
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

// "675 million values"
std::string count_text(std::int64_t values) {
    constexpr std::int64_t million = 1'000'000;
    return values < million ? std::to_string(values) + " values"
                            : std::to_string((values + million / 2) / million) + " million values";
}

// What a file of weights is; empty where its names are nobody's that t2i knows.
std::string title_of(const std::string& file) {
    try {
        const PartDescription part = describe_part(file);
        return part.title + ", " + count_text(part.values);
    } catch (const Error&) {
        return {};
    }
}

void print_checkpoint(const CheckpointReader& reader, const std::string& title = {}) {
    if (!title.empty()) std::printf("%s\n", escaped(title).c_str());
    if (const std::string weights = reader.weights(); !weights.empty())
        std::printf("# of these, %s is read as the weights\n", in_quotes(weights).c_str());
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
    for (const auto& [name, listed] : m.components) {
        json component{{"class", listed.name}};
        const ComponentLook look = look_at(m, name);
        if (look.is_missing) component["missing"] = true;
        if (!look.is_needed) component["needed"] = false;
        if (!look.problem.empty()) component["problem"] = look.problem;
        if (!look.passed_over.empty()) component["passed_over"] = look.passed_over;
        if (look.sums) component.update(sums_json(*look.sums));
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

json checkpoint_json(const CheckpointReader& reader, const std::string& title = {}) {
    json j{{"kind", "checkpoint"}, {"metadata", reader.metadata()}};
    if (!title.empty()) j["is"] = title;
    if (const std::string weights = reader.weights(); !weights.empty()) j["weights"] = weights;
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

// A component's folder without its pipeline: diffusers' configs name one class, those of transformers a list.
ComponentFolder component_at(const std::string& path) {
    const bool is_diffusers = JsonOptions::read((fs::path(path) / "config.json").string()).has("_class_name");
    return {.path = path, .library = is_diffusers ? Library::diffusers : Library::transformers};
}

enum class Kind : std::uint8_t { model, component, checkpoint, picture };

Kind kind_of(const std::string& path) {
    std::error_code ec;
    if (!fs::exists(path, ec)) {
        const std::string problem = absence_problem(path);
        throw Error(ErrorCode::input, problem.empty() ? "no such file or folder" : problem, path);
    }
    if (fs::is_directory(path, ec)) {
        const bool is_component =
            fs::exists(fs::path(path) / "config.json", ec) && !fs::exists(fs::path(path) / "model_index.json", ec);
        return is_component ? Kind::component : Kind::model;
    }
    const auto extensions = checkpoint_extensions();
    const bool is_checkpoint =
        path.ends_with(".index.json") || std::ranges::find(extensions, fs::path(path).extension().string()) != extensions.end();
    return is_checkpoint ? Kind::checkpoint : Kind::picture;
}

}  // namespace

void inspect_as_text(const std::string& path) {
    switch (kind_of(path)) {
        case Kind::model:
            return print_model(path);
        case Kind::component:
            return print_checkpoint(*open_component(component_at(path)));
        case Kind::checkpoint:
            return print_checkpoint(*open_checkpoint(path, ""), title_of(path));
        case Kind::picture:
            return print_picture(path);
    }
}

nlohmann::ordered_json inspect_as_json(const std::string& path) {
    switch (kind_of(path)) {
        case Kind::model:
            return model_json(path);
        case Kind::component:
            return checkpoint_json(*open_component(component_at(path)));
        case Kind::checkpoint:
            return checkpoint_json(*open_checkpoint(path, ""), title_of(path));
        case Kind::picture:
            break;
    }
    return picture_json(path);
}

}  // namespace t2i::app
