#include "generators/convert_model.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "core/folders.h"
#include "core/log.h"
#include "core/nearest.h"
#include "core/stand_in.h"
#include "generators/model_folder.h"
#include "generators/new_output.h"
#include "models/registry.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

namespace {

constexpr std::size_t config_limit_bytes = std::size_t{64} << 20U;

bool ends(const std::string& path, std::string_view extension) {
    return equals_without_case(fs::path(path).extension().string(), extension);
}

// GGUF's keys of a text encoder that is for llama.cpp's kin, too; of other parts the architecture's name and the config.
std::vector<std::pair<std::string, GgufValue>> gguf_keys(const OpenedPart& part) {
    if (part.kind != PartKind::text_encoder) return {{"general.architecture", std::string("t2i")}, {config_key, part.config}};
    std::vector<std::pair<std::string, GgufValue>> keys{{"general.architecture", std::string("t5encoder")}};
    const json config = json::parse(part.config);
    const auto number = [&](const char* key, const char* name) {
        if (config.contains(name) && config[name].is_number_unsigned())
            keys.emplace_back(std::string("t5encoder.") + key, config[name].get<std::uint32_t>());
    };
    keys.emplace_back("t5encoder.context_length", std::uint32_t{512});
    number("embedding_length", "d_model");
    number("feed_forward_length", "d_ff");
    number("block_count", "num_layers");
    number("attention.head_count", "num_heads");
    number("attention.key_length", "d_kv");
    number("attention.value_length", "d_kv");
    number("attention.relative_buckets_count", "relative_attention_num_buckets");
    const auto epsilon = static_cast<float>(config.value("layer_norm_epsilon", 1e-6));
    keys.emplace_back("t5encoder.attention.layer_norm_epsilon", epsilon);
    keys.emplace_back("t5encoder.attention.layer_norm_rms_epsilon", epsilon);
    keys.emplace_back(config_key, part.config);
    return keys;
}

class Converter {
  public:
    explicit Converter(const ConvertOptions& options)
        : options_(options),
          threads_(options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}

    // The weights of a part into a file, which grows in another folder; empty: beside its name.
    void write(const OpenedPart& part, const std::string& label, const std::string& path, Container container,
               const std::string& unfinished = {}) {
        const bool in_gguf = container == Container::gguf;
        std::vector<Conversion> all;
        for (const auto& entry : part.reader->entries()) {
            const DType type = converted_type(entry, options_.type, container);
            const std::string name =
                in_gguf && part.kind == PartKind::text_encoder ? gguf_name(*part.reader, entry.name) : entry.name;
            if (!name.empty()) all.push_back({entry.name, {name, type, entry.shape}});
        }
        std::vector<PlannedTensor> targets;
        for (const auto& conversion : all) targets.push_back(conversion.target);
        const WriteTensor write_one = [&](const PlannedTensor& target, const ByteSink& sink) {
            if (options_.is_stopped && options_.is_stopped()) throw Error(ErrorCode::cancelled, "stopped; nothing is written");
            const auto conversion = std::ranges::find(all, target.name, [](const Conversion& c) { return c.target.name; });
            const ConversionError error = convert_tensor(*part.reader, *conversion, threads_, sink);
            part.reader->release(conversion->source);
            if (options_.told)
                options_.told({.part = label,
                               .name = target.name,
                               .from = find_entry(*part.reader, conversion->source)->dtype,
                               .to = target.dtype,
                               .shape = target.shape,
                               .error = error});
        };
        const AtomicFileOptions new_file{.temporary_folder = unfinished, .replace = false};
        if (in_gguf) write_gguf(path, targets, gguf_keys(part), write_one, new_file);
        else write_safetensors(path, targets, {{"format", "pt"}, {config_key, part.config}}, write_one, new_file);
    }

    // A part's folder: its config, and its weights under the name that its library looks for.
    void write_folder(const OpenedPart& part, const std::string& label, const std::string& folder) {
        write_file_atomically((fs::path(folder) / "config.json").string(), json::parse(part.config).dump(2) + "\n");
        const char* stem = part.kind == PartKind::text_encoder ? "model" : "diffusion_pytorch_model";
        write(part, label, (fs::path(folder) / (std::string(stem) + ".safetensors")).string(), Container::safetensors);
    }

  private:
    const ConvertOptions& options_;
    int threads_;
};

// model_index.json without the components that are not written, for which diffusers would look; the others by the names of their
// new folders. written: from one to the other.
std::string index_of(const ModelFolder& model, const std::map<std::string, std::string>& written) {
    const std::string path = (fs::path(model.path) / "model_index.json").string();
    const json index = json::parse(read_text_file(path, config_limit_bytes));
    json kept = json::object();
    for (const auto& [key, value] : index.items()) {
        const bool is_component = value.is_array() && value.size() == 2;
        if (!is_component) kept[key] = value;
        else if (const auto name = written.find(key); name != written.end()) kept[name->second] = value;
    }
    return kept.dump(2) + "\n";
}

void copy_file(const std::string& from, const fs::path& to_folder) {
    write_file_atomically((to_folder / fs::path(from).filename()).string(), read_text_file(from, config_limit_bytes));
}

void warn_of_formulas(const ConvertOptions& options, const OpenedPart& part) {
    if (part.is_facebooks)
        log_warning(options.log, options.input +
                                     " is facebook's: what is written will be computed by diffusers' formulas, which draw other "
                                     "pictures than facebook's");
}

void write_whole(const ConvertOptions& options, const ModelFolder& model, const std::string& folder) {
    Converter converter(options);
    std::map<std::string, std::string> written;
    for (const ComponentRow& row : model.row->components) {
        const std::string listed = model.components.contains(row.folder) || !row.formerly ? row.folder : row.formerly;
        if (!model.components.contains(listed)) continue;
        written.emplace(listed, row.folder);
        const fs::path to = fs::path(folder) / row.folder;
        make_folder(to.string());
        const ComponentSource source = model.source(row.folder);
        if (row.weights) {
            const OpenedPart part = open_part(source);
            warn_of_formulas(options, part);
            converter.write_folder(part, row.folder, to.string());
        } else {
            for (const auto& file : row.files(source)) copy_file(file, to);
        }
    }
    write_file_atomically((fs::path(folder) / "model_index.json").string(), index_of(model, written));
    const fs::path own = fs::path(model.path) / "t2i.json";
    if (std::error_code ec; fs::exists(own, ec)) copy_file(own.string(), folder);
}

void convert_whole(const ConvertOptions& options) {
    // Of facebook's weights, too, a folder that diffusers has a class for.
    const ModelFolder model = read_layout(options.input, {.variant = options.variant, .log = options.log});
    static_cast<void>(model.row->read_rules(model));
    model.check_components();
    NewOutput output(options.output, options.log);
    output.fill([&] { write_whole(options, model, output.path()); });
    output.commit();
}

void convert_part(const ConvertOptions& options) {
    ComponentSource source(options.input, {}, options.variant, options.log);
    // What diffusers has a class for is written as that class has it.
    source.hints.as_diffusers = true;
    const OpenedPart part = open_part(source);
    warn_of_formulas(options, part);
    Converter converter(options);
    NewOutput output(options.output, options.log);
    const bool is_gguf = ends(options.output, ".gguf");
    if (is_gguf || ends(options.output, ".safetensors"))
        return converter.write(part, {}, options.output, is_gguf ? Container::gguf : Container::safetensors, output.path());
    output.fill([&] { converter.write_folder(part, {}, output.path()); });
    output.commit();
}

}  // namespace

void convert_model(const ConvertOptions& options) {
    std::error_code ec;
    const bool is_whole = fs::exists(fs::path(options.input) / "model_index.json", ec);
    const bool is_gguf = ends(options.output, ".gguf"), is_file = is_gguf || ends(options.output, ".safetensors");
    if (!exists_at_all(options.input)) throw Error(ErrorCode::input, "no such file or folder", options.input);
    if (const std::string problem = absence_problem(options.input); !problem.empty())
        throw Error(ErrorCode::input, problem, options.input);
    check_is_no_device(options.input);
    if (const std::string part = part_without_weights(options.input); !is_whole && !part.empty())
        throw Error(ErrorCode::input, "is " + part + ", which has no weights to convert; a whole model's folder takes it along",
                    options.input);
    if (!is_whole && !is_plain_file(options.input) && !exists_at_all((fs::path(options.input) / "config.json").string()))
        throw Error(ErrorCode::input, "is neither a model's folder (it has no model_index.json) nor a part's (no config.json)",
                    options.input);
    if (is_whole && is_file)
        throw Error(
            ErrorCode::invalid_argument,
            "a whole model is written as a folder; a file holds one part, such as " + in_quotes(options.input + "/text_encoder"),
            options.output);
    if (options.type && is_block_type(*options.type) && !is_gguf)
        throw Error(ErrorCode::invalid_argument,
                    std::string(name_of(*options.type)) + " is kept in GGUF alone: convert a part into a file NAME.gguf",
                    Field{"type"});
    for (const std::string_view other : checkpoint_extensions())
        if (!is_file && ends(options.output, other))
            throw Error(ErrorCode::invalid_argument, "written are NAME.gguf, NAME.safetensors and folders", options.output);
    if (exists_at_all(options.output))
        throw Error(ErrorCode::input, "is there already, and is not replaced: give another name, or remove it", options.output);
    if (is_file) check_can_be_written(options.output);
    else check_folder(options.output);
    return is_whole ? convert_whole(options) : convert_part(options);
}

}  // namespace t2i
