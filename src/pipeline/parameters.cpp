#include "pipeline/parameters.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"
#include "t2i/version.h"

namespace t2i {

namespace {

constexpr std::string_view negative_mark = "\nNegative prompt: ", steps_mark = "\nSteps: ", seed_mark = "\nSeed: ";

// Values that hold a comma, colon or newline are JSON strings, so that a reader can split at commas.
std::string field(const std::string& value) {
    if (value.find_first_of(",:\n\"") == std::string::npos) return value;
    return nlohmann::json(value).dump();
}

using Fields = std::map<std::string, std::string, std::less<>>;

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
        fields[name] = std::move(value);
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

const std::string& needed(const Fields& fields, const char* name, const std::string& where) {
    const auto it = fields.find(name);
    if (it == fields.end()) throw Error(ErrorCode::input, std::string("parameters: no \"") + name + "\"", where);
    return it->second;
}

std::string optional(const Fields& fields, const char* name) {
    const auto it = fields.find(name);
    return it == fields.end() ? std::string() : it->second;
}

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

std::string parameters_text(const ResolvedRequest& r, const ModelInfo& info, const std::string& hash, std::uint64_t seed) {
    std::string text = r.prompt;
    if (!r.negative_prompt.empty()) text += std::string(negative_mark) + r.negative_prompt;
    std::string settings;
    for (const SettingField& setting : r.plan->fields)
        if (const std::string value = setting.text(); !value.empty())
            settings += (settings.empty() ? "" : ", ") + setting.label + ": " + field(value);
    const std::string seed_text = "Seed: " + std::to_string(seed);
    const bool has_steps = ("\n" + settings).starts_with(steps_mark);
    text += "\n" + (has_steps ? settings + ", " + seed_text : seed_text + (settings.empty() ? "" : ", ") + settings);
    text += ", Size: " + std::to_string(r.width) + "x" + std::to_string(r.height) + ", Model hash: " + hash +
            ", Model: " + field(info.name);
    const Origin origin = origin_of(info);
    for (const OriginRow& row : origin_rows)
        if (const std::string& value = origin.*row.value; !value.empty())
            text += std::string(", ") + row.name + ": " + field(value);
    return text;
}

Parameters read_parameters(std::string_view text, const std::string& where) {
    const std::string lines = "\n" + std::string(text);  // so that a mark may stand at the very start
    const auto steps_at = lines.rfind(steps_mark), seed_at = lines.rfind(seed_mark);
    if (steps_at == std::string::npos && seed_at == std::string::npos)
        throw Error(ErrorCode::input, "parameters: no line that begins with \"Steps: \" or \"Seed: \"", where);
    const auto line_at =
        steps_at == std::string::npos || (seed_at != std::string::npos && seed_at > steps_at) ? seed_at : steps_at;
    const Fields fields = read_fields(std::string_view(lines).substr(line_at + 1), where);
    const std::string head = lines.substr(0, line_at);
    const auto negative_at = head.rfind(negative_mark);

    Parameters p;
    GenerateRequest& r = p.request;
    r.prompt = head.substr(0, negative_at);
    if (!r.prompt.empty()) r.prompt.erase(0, 1);
    if (negative_at != std::string::npos) r.negative_prompt = head.substr(negative_at + negative_mark.size());
    if (const auto steps = optional(fields, "Steps"); !steps.empty()) r.steps = number<int>(steps, "Steps", where);
    r.seed = number<std::uint64_t>(needed(fields, "Seed", where), "Seed", where);
    const std::string& size = needed(fields, "Size", where);
    const auto x = size.find('x');
    r.width = number<int>(std::string_view(size).substr(0, x), "Size", where);
    r.height = number<int>(x == std::string::npos ? std::string_view() : std::string_view(size).substr(x + 1), "Size", where);
    if (const auto scale = optional(fields, "CFG scale"); !scale.empty()) r.cfg_scale = number<double>(scale, "CFG scale", where);
    r.sampler = optional(fields, "Sampler");
    r.scheduler = optional(fields, "Schedule type");
    p.model = optional(fields, "Model");
    p.hash = optional(fields, "Model hash");
    for (const OriginRow& row : origin_rows) p.origin.*row.value = optional(fields, row.name);
    return p;
}

}  // namespace t2i
