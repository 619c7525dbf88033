#include "pipeline/parameters.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/nearest.h"
#include "core/number_text.h"
#include "pipeline/start_picture.h"
#include "t2i/error.h"
#include "t2i/version.h"

namespace t2i {

namespace {

constexpr std::string_view negative_mark = "\nNegative prompt: ", steps_mark = "\nSteps: ", seed_mark = "\nSeed: ";
constexpr std::string_view program = "t2i ";  // begins "Version" in what we write
// Of a text of 0.1.0: each costs a picture where none is the right one.
constexpr std::size_t most_readings = 8;
constexpr const char* lines_field = "Prompt lines";

// Values that hold a comma, colon or newline are JSON strings, so that a reader can split at commas.
std::string field(const std::string& value) {
    if (value.find_first_of(",:\n\"") == std::string::npos) return value;
    return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// Past the closing quote of the JSON string that begins at `at`, or npos.
std::size_t end_of_string(std::string_view text, std::size_t at) {
    for (std::size_t i = at + 1; i < text.size(); ++i)
        if (text[i] == '\\') ++i;
        else if (text[i] == '"') return i + 1;
    return std::string_view::npos;
}

// "Steps: 20, Sampler: dpm++2m, Device: \"cuda:0\""
Fields read_fields(std::string_view line, const std::string& where) {
    Fields fields;
    for (std::size_t at = 0; at < line.size();) {
        const auto colon = line.find(": ", at);
        if (colon == std::string_view::npos) break;
        const std::string name(line.substr(at, colon - at));
        std::size_t end = colon + 2;
        std::string value;
        if (end < line.size() && line[end] == '"') {
            const auto past = end_of_string(line, end);
            const auto quoted = past == std::string_view::npos
                                    ? nlohmann::json(nlohmann::json::value_t::discarded)
                                    : nlohmann::json::parse(line.substr(end, past - end), nullptr, false);
            if (!quoted.is_string())
                throw Error(ErrorCode::input, "parameters: the value of " + in_quotes(name) + " has no end", where);
            value = quoted.get<std::string>();
            end = line.find(", ", past);
        } else {
            end = line.find(", ", end);
            value = line.substr(colon + 2, end == std::string_view::npos ? end : end - colon - 2);
        }
        fields.emplace_back(name, std::move(value));
        at = end == std::string_view::npos ? line.size() : end + 2;
    }
    return fields;
}

template <typename T>
T number(std::string_view text, const char* name, const std::string& where) {
    if (const auto value = parse_number<T>(text)) return *value;
    throw Error(ErrorCode::input, std::string("parameters: ") + name + " " + in_quotes(text) + " is not a number of its range",
                where);
}

const std::string& needed(const Infotext& text, const char* name, const std::string& where) {
    const std::string& value = text.value(name);
    if (value.empty()) throw Error(ErrorCode::input, std::string("parameters: no \"") + name + "\"", where);
    return value;
}

// The lines before the settings, "\n" before each, cut in two before a line: at npos, all of them are the prompt.
Infotext::Prompts cut_at(std::string_view head, std::size_t at) {
    Infotext::Prompts p;
    p.prompt = head.substr(0, at);
    if (!p.prompt.empty()) p.prompt.erase(0, 1);
    if (at != std::string_view::npos) p.negative_prompt = head.substr(at + negative_mark.size());
    return p;
}

// Where the negative prompt begins in `head`, which has a "\n" before each line; npos: there is none.
std::size_t negative_at(std::string_view head, const Infotext& text, const std::string& where) {
    if (const std::string& lines = text.value(lines_field); !lines.empty()) {
        std::size_t at = 0;
        for (auto left = number<std::size_t>(lines, lines_field, where); left > 0 && at != std::string_view::npos; --left)
            at = head.find('\n', at + 1);
        if (at == std::string_view::npos || head.substr(at).starts_with(negative_mark)) return at;
        throw Error(ErrorCode::input, std::string("parameters: ") + lines_field + " " + lines + " does not fit its text", where);
    }
    // AUTOMATIC1111 takes the first such line, t2i the last.
    return text.version().empty() ? head.find(negative_mark) : head.rfind(negative_mark);
}

// Parts that may be named in place of a model's.
struct PartRow {
    const char *component, *label;
};
constexpr std::array<PartRow, 3> part_rows{
    {{"transformer", "Transformer"}, {"text_encoder", "Text encoder"}, {"tokenizer", "Tokenizer"}}};

struct OriginRow {
    const char* name;  // in the text
    const char* word;  // in a sentence
    std::string Origin::* value;
};
constexpr std::array<OriginRow, 5> origin_rows{{{"Device", "device", &Origin::device},
                                                {"Hardware", "hardware", &Origin::hardware},
                                                {"Dtype", "dtype", &Origin::dtype},
                                                {"Version", "version", &Origin::version},
                                                {"Compiler", "compiler", &Origin::compiler}}};

// AUTOMATIC1111 has "Denoising strength" and "Init image hash", too.
void add_start(const ResolvedRequest& r, const std::function<void(const std::string&, const std::string&)>& add) {
    const StartPicture& start = *r.start;
    add("Init image hash", start.hash);
    add("Init image", start.name);
    add("Mask hash", start.mask_hash);
    add("Mask", start.mask_name);
    add("Resize mode", start.resize_mode);
    if (r.keep_unmasked) add("Keep unmasked", "true");
}

}  // namespace

Origin origin_of(const ModelInfo& info) {
#ifdef __clang__
    constexpr const char* compiler = "clang " __clang_version__;
#else
    constexpr const char* compiler = "gcc " __VERSION__;
#endif
    return {.device = info.device,
            .hardware = info.hardware,
            .dtype = info.dtype,
            .version = "t2i " T2I_VERSION,
            .compiler = compiler};
}

std::string differences(const Origin& then, const Origin& here) {
    const auto kind = [](const OriginRow& row, const std::string& value) {
        return row.value == &Origin::device ? value.substr(0, value.find(':')) : value;
    };
    std::string text;
    for (const OriginRow& row : origin_rows) {
        const std::string a = kind(row, then.*row.value), b = kind(row, here.*row.value);
        if (a == b) continue;
        text += (text.empty() ? "" : "; ") + std::string(row.word) + " " + (a.empty() ? "unknown" : a) + ", here " + b;
    }
    return text;
}

const std::string& Infotext::value(std::string_view name) const {
    static const std::string none;
    const auto found = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
    return found == fields.end() ? none : found->second;
}

std::string_view Infotext::version() const {
    const std::string_view text = value("Version");
    return text.starts_with(program) ? text.substr(program.size()) : std::string_view();
}

std::string parameters_text(const ResolvedRequest& r, const ModelInfo& info, const ModelHashes& hashes, std::uint64_t seed) {
    std::string text = r.prompt;
    if (!r.negative_prompt.empty()) text += std::string(negative_mark) + r.negative_prompt;
    std::string settings;
    for (const SettingField& setting : r.plan->fields)
        if (const std::string value = setting.text(); !value.empty())
            settings += (settings.empty() ? "" : ", ") + setting.label + ": " + field(value);
    const std::string seed_text = "Seed: " + std::to_string(seed);
    const bool has_steps = ("\n" + settings).starts_with(steps_mark);
    text += "\n" + (has_steps ? settings + ", " + seed_text : seed_text + (settings.empty() ? "" : ", ") + settings);
    const auto add = [&text](const std::string& name, const std::string& value) {
        if (!value.empty()) text += ", " + name + ": " + field(value);
    };
    add("Size", std::to_string(r.width) + "x" + std::to_string(r.height));
    add("Model hash", hashes.model);
    text += ", Model: " + field(info.name);
    add("VAE hash", hashes.decoder);
    add("VAE", info.vae);
    for (const PartRow& row : part_rows) {
        const auto hash = hashes.parts.find(row.component);
        const auto name = std::ranges::find(info.parts, std::string(row.component), [](const auto& part) { return part.first; });
        if (hash == hashes.parts.end() || name == info.parts.end()) continue;
        add((row.label + std::string(" hash")).c_str(), hash->second);
        add(row.label, name->second);
    }
    add("Base", info.base);
    add("Formulas", info.formulas);
    add("Variant", info.variant);
    const Origin origin = origin_of(info);
    for (const OriginRow& row : origin_rows) add(row.name, origin.*row.value);
    if (info.fast_math) add("Fast math", "true");
    if (r.clean_caption) add("Clean caption", "true");
    if (r.resolution_binning) add("Resolution binning", "true");
    if (r.start) add_start(r, add);
    const Infotext read = read_infotext(text, {});
    if (read.prompts.prompt != r.prompt || read.prompts.negative_prompt != r.negative_prompt)
        add(lines_field, std::to_string(std::ranges::count(r.prompt, '\n') + 1));
    return text;
}

Infotext read_infotext(std::string_view text, const std::string& where) {
    const std::string lines = "\n" + std::string(text);  // so that a mark may stand at the very start
    const auto steps_at = lines.rfind(steps_mark), seed_at = lines.rfind(seed_mark);
    if (steps_at == std::string::npos && seed_at == std::string::npos)
        throw Error(ErrorCode::input, "parameters: no line that begins with \"Steps: \" or \"Seed: \"", where);
    const auto line_at =
        steps_at == std::string::npos || (seed_at != std::string::npos && seed_at > steps_at) ? seed_at : steps_at;
    Infotext found;
    found.fields = read_fields(std::string_view(lines).substr(line_at + 1), where);
    const std::string_view head = std::string_view(lines).substr(0, line_at);
    const auto at = negative_at(head, found, where);
    found.prompts = cut_at(head, at);
    if (found.version() != "0.1.0") return found;
    // With one "Negative prompt: " line it may be the prompt's own, with several any of them may begin it.
    if (at != std::string_view::npos) found.others.push_back(cut_at(head, std::string_view::npos));
    for (auto other = at; other != std::string_view::npos && other > 0 && found.others.size() < most_readings;) {
        other = head.rfind(negative_mark, other - 1);
        if (other != std::string_view::npos) found.others.push_back(cut_at(head, other));
    }
    return found;
}

Parameters read_parameters(std::string_view text, const std::string& where) {
    const Infotext info = read_infotext(text, where);
    Parameters p;
    p.version = info.version();
    GenerateRequest& r = p.request;
    r.prompt = info.prompts.prompt;
    r.negative_prompt = info.prompts.negative_prompt;
    p.other_prompts = info.others;
    if (const auto& steps = info.value("Steps"); !steps.empty()) r.steps = number<int>(steps, "Steps", where);
    r.seed = number<std::uint64_t>(needed(info, "Seed", where), "Seed", where);
    const std::string& size = needed(info, "Size", where);
    const auto x = size.find('x');
    r.width = number<int>(std::string_view(size).substr(0, x), "Size", where);
    r.height = number<int>(x == std::string::npos ? std::string_view() : std::string_view(size).substr(x + 1), "Size", where);
    if (const auto& scale = info.value("CFG scale"); !scale.empty()) r.cfg_scale = number<double>(scale, "CFG scale", where);
    r.sampler = info.value("Sampler");
    r.scheduler = info.value("Schedule type");
    if (info.value("Clean caption") == "true") r.clean_caption = true;
    if (info.value("Resolution binning") == "true") r.resolution_binning = true;
    p.init_image = {info.value("Init image"), info.value("Init image hash")};
    p.mask = {info.value("Mask"), info.value("Mask hash")};
    if (!p.version.empty() && !p.init_image.hash.empty()) {  // of other programs' pictures it may be that of a second pass
        r.strength = number<double>(needed(info, "Denoising strength", where), "Denoising strength", where);
        r.resize_mode = info.value("Resize mode");
        if (info.value("Keep unmasked") == "true") r.keep_unmasked = true;
    }
    p.model = info.value("Model");
    p.hash = info.value("Model hash");
    p.vae = info.value("VAE");
    p.vae_hash = info.value("VAE hash");
    for (const PartRow& row : part_rows)
        if (const std::string& hash = info.value(row.label + std::string(" hash")); !hash.empty())
            p.parts[row.component] = {info.value(row.label), hash};
    p.base = info.value("Base");
    p.formulas = info.value("Formulas");
    p.variant = info.value("Variant");
    p.fast_math = info.value("Fast math") == "true";
    for (const OriginRow& row : origin_rows) p.origin.*row.value = info.value(row.name);
    return p;
}

}  // namespace t2i
