// t2i inspect PATH: what a model folder, a component folder, a safetensors file or a PNG holds.
#include <cstdio>
#include <filesystem>
#include <map>

#include "app/arguments.h"
#include "app/command.h"
#include "checkpoint/reader.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/nearest.h"
#include "generators/model_folder.h"
#include "pipeline/png_read.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

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
                escaped(dtype_list(s)).c_str());
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

void inspect_model(const std::string& path) {
    const ModelFolder m = read_model_folder(path);
    std::printf("model          %s (%s), hash %s\n", escaped(m.name).c_str(), escaped(m.pipeline_class).c_str(),
                fingerprint(path).c_str());
    for (const auto& [name, class_name] : m.components) {
        if (!fs::exists(fs::path(path) / name))
            std::printf("%-14s %-28s missing\n", escaped(name).c_str(), escaped(class_name).c_str());
        else if (fs::exists(fs::path(path) / name / "config.json"))
            print_sums(escaped(name).c_str(), escaped(class_name), sum(*open_component((fs::path(path) / name).string())));
        else std::printf("%-14s %s\n", escaped(name).c_str(), escaped(class_name).c_str());
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

void inspect_checkpoint(const CheckpointReader& reader) {
    for (const auto& [key, value] : reader.metadata())
        std::printf("# %s: %s\n", in_quotes(key).c_str(), in_quotes(value).c_str());
    for (const auto& e : reader.entries())
        std::printf("%-8s %-20s %s\n", escaped(e.dtype).c_str(), e.shape.text().c_str(), escaped(e.name).c_str());
    print_sums("total", "", sum(reader));
}

void inspect_png(const std::string& path, std::span<const std::uint8_t> bytes) {
    const PngInfo info = read_png_info(bytes, path);
    for (const auto& [keyword, text] : info.text)
        if (keyword == "parameters") {
            std::printf("%s\n", escaped(text, Lines::many).c_str());
            return;
        }
    std::printf("%ux%u PNG without a parameters chunk\n", info.width, info.height);
    for (const auto& [keyword, text] : info.text)
        std::printf("%s: %s\n", escaped(keyword).c_str(), escaped(text, Lines::many).c_str());
}

}  // namespace

int run_inspect(const std::vector<std::string>& arguments) {
    std::string path;
    CLI::App app{"Prints what a model folder, a component folder, a safetensors file or a PNG holds.", "t2i inspect"};
    app.add_option("path", path, "what to look at (default: the bundled model)");
    if (!parse(app, arguments)) return 0;
    if (path.empty()) path = bundled_model();

    std::error_code ec;
    if (!fs::exists(path, ec)) throw Error(ErrorCode::input, "no such file or folder", path);
    if (fs::is_directory(path, ec)) {
        if (fs::exists(fs::path(path) / "config.json") && !fs::exists(fs::path(path) / "model_index.json"))
            inspect_checkpoint(*open_component(path));
        else inspect_model(path);
    } else if (fs::path(path).extension() == ".safetensors") {
        inspect_checkpoint(*open_checkpoint(path));
    } else {
        inspect_png(path, read_file(path));
    }
    return 0;
}

}  // namespace t2i::app
