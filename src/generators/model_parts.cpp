#include "generators/model_parts.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/escape.h"
#include "core/files.h"
#include "core/log.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

bool ModelFolder::lacks(const std::string& component_name) const {
    const auto is_named = [&](const NamedPart& part) { return part.component == component_name; };
    if (generator.empty() || component_name == row->generator || std::ranges::any_of(named, is_named)) return false;
    return !base || !base->components.contains(component_name);
}

PartHints ModelFolder::hints(const std::string& component_name) const {
    PartHints hints;
    hints.as_diffusers = row->has_folders;
    hints.is_sigma = row->is_sigma;
    std::error_code ignored;
    for (const ModelFolder* folder : {generator.empty() ? this : nullptr, base.get()}) {
        if (!folder || !hints.config_of_base.empty()) continue;
        const fs::path config = fs::path(folder->path) / component_name / "config.json";
        if (fs::exists(config, ignored)) hints.config_of_base = config.string();
    }
    return hints;
}

// What would name the parts that a transformer alone lacks, and where they are to be had.
Error ModelFolder::missing(const std::string& component_name, const std::string& another_decoder) const {
    std::string all, where, last;
    int count = 0;
    for (const ComponentRow& part : row->components) {
        const bool is_replaced = std::string_view(part.folder) == row->decoder && !another_decoder.empty();
        if (!part.published || is_replaced || !lacks(part.folder)) continue;
        ++count;
        last = part.published;
        all += (all.empty() ? "" : ", ") + std::string(part.folder);
        where += (where.empty() ? "" : "; ") + std::string(part.folder) + ": " + part.published;
    }
    std::error_code ignored;
    const std::string alone = "is needed: " + in_quotes(name) + " is a " + row->generator + " alone" +
                              (fs::is_directory(path, ignored) ? " (it has no model_index.json)" : "");
    if (count < 2) return {ErrorCode::input, alone + "; published as " + last, Field{component_name}};
    return {ErrorCode::input,
            alone + ", without " + all + ". A folder in diffusers layout lends them, or each is named by itself (" + where + ")",
            Field{"base"}};
}

namespace {

std::string file_name(const std::string& path) {
    return in_quotes(fs::path(path).filename().string());
}

// The pipeline of a transformer that lies alone: its base's, unless it has one of its own.
const PipelineRow& row_of_generator(const PartDescription& part, const std::string& path, const ModelFolder* base) {
    const PipelineRow* own = part.pipeline.empty() ? nullptr : &pipeline_row(part.pipeline, path);
    if (!base && !own)
        throw Error(ErrorCode::input,
                    "is needed: nothing in " + file_name(path) + " says which pipeline its " + part.title + " is for",
                    Field{"base"});
    if (!base) return *own;
    const bool reads_text = base->row->conditioning == ConditioningKind::text;
    std::error_code ignored;
    const bool is_file = is_plain_file(path);  // a folder's config leaves it open which PixArt it is
    const bool is_another = own && is_file && own->has_folders && own != base->row;
    if (own ? is_another || own->conditioning != base->row->conditioning : !reads_text)
        throw Error(ErrorCode::input,
                    "is for " + std::string(base->row->class_name) + ", and " + file_name(path) + " is " + part.title,
                    Field{"base"});
    return own && !own->has_folders ? *own : *base->row;
}

// The transformer in a folder without model_index.json; empty: there is none.
std::string generator_in(const fs::path& root) {
    std::error_code ignored;
    for (const fs::path& folder : {root / "transformer", root})
        if (fs::exists(folder / "config.json", ignored)) return folder.string();
    return {};
}

ModelFolder read_generator_alone(const ModelParts& parts, const std::string& generator, const ModelFolderOptions& options) {
    std::shared_ptr<const ModelFolder> base;
    ModelFolder m;
    if (!parts.base.empty()) {
        m = read_layout(parts.base, options);  // its steps, classes, …
        base = std::make_shared<const ModelFolder>(m);
    }
    ComponentSource source{generator, {}, options.variant};
    source.hints.as_diffusers = parts.formulas == "diffusers";
    if (base) {
        source.hints.is_sigma = base->row->is_sigma;
        source.hints.config_of_base = (fs::path(parts.base) / base->row->generator / "config.json").string();
    }
    const PartDescription part = describe_denoiser(source);
    const PipelineRow& row = row_of_generator(part, generator, base.get());
    if (&row != m.row) take_row(m, row);
    m.options = options;
    m.base = base;
    m.generator = generator;
    m.path = parts.model;
    m.name = fs::is_directory(parts.model) ? name_of_folder(parts.model) : escaped(fs::path(parts.model).stem().string());
    m.notes.push_back(in_quotes(m.name) + " is " + part.title + ", for " + row.class_name);
    for (const std::string& note : part.notes) m.notes.push_back(std::string(row.generator) + ": " + note);
    for (const ComponentRow& component : row.components)
        if (m.lacks(component.folder) && !component.published)
            m.notes.push_back(std::string(component.folder) + ": " + row.schedule);
    return m;
}

// A folder, one with a folder of the component's name in it, or a file.
NamedPart named_part(const std::string& component, const std::string& path) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) throw Error(ErrorCode::input, in_quotes(path) + " does not exist", Field{component});
    check_is_no_device(path);
    const fs::path inside = fs::path(path) / component;
    const bool is_outer = fs::is_directory(inside, ignored) && !fs::exists(fs::path(path) / "config.json", ignored);
    return {component, is_outer ? inside.string() : path};
}

void name_parts(const ModelParts& parts, ModelFolder& m) {
    for (const auto& [component, path] :
         {std::pair{"transformer", parts.transformer}, std::pair{"text_encoder", parts.text_encoder},
          std::pair{"tokenizer", parts.tokenizer}}) {
        if (path.empty()) continue;
        if (!m.row_of(component))
            throw Error(ErrorCode::invalid_argument, std::string("names a part that ") + m.row->class_name + " has not",
                        Field{component});
        m.named.push_back(named_part(component, path));
    }
    std::error_code ignored;
    for (NamedPart& part : m.named)  // a tokenizer is all files of its folder
        if (part.component == "tokenizer" && is_plain_file(part.path)) part.path = fs::absolute(part.path).parent_path().string();
}

}  // namespace

ModelFolder read_model(const ModelParts& parts, const ModelFolderOptions& options) {
    if (!parts.formulas.empty() && parts.formulas != "diffusers")
        throw Error(ErrorCode::invalid_argument, in_quotes(parts.formulas) + " is not known (diffusers)", Field{"formulas"});
    const fs::path root(parts.model);
    std::error_code ignored;
    const bool is_file = is_plain_file(parts.model);
    // A link to nothing is there, too: read_layout() says so.
    const bool has_index = exists_at_all((root / "model_index.json").string());
    const bool is_alone = is_file || (fs::is_directory(root, ignored) && !has_index);
    const std::string generator = is_file ? parts.model : is_alone ? generator_in(root) : std::string();
    ModelFolder m;
    if (generator.empty()) {
        m = read_layout(parts.model, options);
        if (!parts.base.empty()) m.base = std::make_shared<const ModelFolder>(read_layout(parts.base, options));
        const auto is_own = [&](const ComponentRow& part) { return m.components.contains(part.folder); };
        if (m.base && std::ranges::all_of(m.row->components, is_own))
            log_warning(options.log, m.name + " lacks no part, so that nothing of " + m.base->name + " is used");
    } else {
        m = read_generator_alone(parts, generator, options);
    }
    m.formulas = parts.formulas;
    name_parts(parts, m);
    follow_transformer(m);
    m.rules = m.row->read_rules(m);
    return m;
}

std::vector<std::string> notes_of(const ModelFolder& folder, const std::string& decoder) {
    std::vector<std::string> notes = folder.notes;
    std::error_code ignored;
    const auto add = [&](const std::string& component, const ComponentSource& source) {
        if (!is_plain_file(source.path)) return;
        const PartDescription part = describe_part(source.path, source.hints);
        notes.push_back(component + ": " + file_name(source.path) + " is " + part.title);
        for (const std::string& note : part.notes) notes.push_back(component + ": " + note);
    };
    for (const NamedPart& part : folder.named) add(part.component, folder.source(part.component));
    add(folder.row->decoder, folder.decoder(decoder));
    return notes;
}

}  // namespace t2i
