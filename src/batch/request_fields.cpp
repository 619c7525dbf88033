#include "batch/request_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

struct Row {
    const char* name;
    std::array<const char*, 3> aliases;  // diffusers', sd.cpp's and our own flags' names
};
constexpr std::array fields{
    Row{"prompt", {}},
    Row{"negative_prompt", {}},
    Row{"seed", {}},
    Row{"steps", {"num_inference_steps"}},
    Row{"cfg_scale", {"guidance_scale", "guidance"}},
    Row{"width", {}},
    Row{"height", {}},
    Row{"sampler_name", {"sampling_method", "sampler"}},
    Row{"scheduler", {}},
    Row{"batch_size", {"batch_count", "count", "n_iter"}},
    Row{"id", {}},
};

// By its name or an alias; null: none has it.
const Row* row_of(std::string_view key) {
    const auto is_named = [&](const Row& f) {
        return key == f.name || std::ranges::any_of(f.aliases, [&](const char* alias) { return alias && key == alias; });
    };
    const auto row = std::ranges::find_if(fields, is_named);
    return row == fields.end() ? nullptr : &*row;
}

std::vector<std::string> all_names() {
    std::vector<std::string> names;
    for (const Row& f : fields) {
        names.emplace_back(f.name);
        for (const char* alias : f.aliases)
            if (alias) names.emplace_back(alias);
    }
    return names;
}

[[noreturn]] void bad(const std::string& message) {
    throw Error(ErrorCode::input, message);
}

int parse_int(const std::string& field, std::string_view text) {
    const auto value = parse_number<std::int64_t>(text);
    if (!value) bad(field + " is not a whole number: " + in_quotes(text));
    if (*value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max())
        bad(field + " is out of range: " + in_quotes(text));
    return static_cast<int>(*value);
}

double parse_real(const std::string& field, std::string_view text) {
    const auto value = parse_number<double>(text);
    if (!value || !std::isfinite(*value)) bad(field + " is not a number: " + in_quotes(text));
    return *value;
}

void set_seed(RequestLine& line, std::string_view text) {
    line.seed.reset();
    line.picks_seed = false;
    if (text.starts_with('-')) {
        if (!parse_number<std::int64_t>(text)) bad("seed is not a whole number: " + in_quotes(text));
        line.picks_seed = true;
        return;
    }
    line.seed = parse_number<std::uint64_t>(text);
    if (!line.seed) bad("seed is not a whole number below 2^64: " + in_quotes(text));
}

std::string parse_text(const std::string& field, std::string_view text) {
    if (text.size() > prompt_limit_bytes)
        bad(field + " has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(prompt_limit_bytes) +
            " are taken");
    check_utf8(text, field);
    if (text.find('\0') != std::string_view::npos) bad(field + " holds a NUL byte");
    return std::string(text);
}

bool is_text(const std::string& field) {
    return field == "prompt" || field == "negative_prompt" || field == "sampler_name" || field == "scheduler";
}

}  // namespace

std::string field_name(std::string_view name) {
    std::string key(name);
    std::ranges::replace(key, '-', '_');
    if (const Row* row = row_of(key)) return row->name;
    const auto known = all_names();
    const auto near = nearest_name(key, known);
    bad("unknown name " + in_quotes(name) + (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string problem_of(const Error& error) {
    const Row* row = error.field().empty() ? nullptr : row_of(error.field());
    return row ? row->name + (": " + error.message()) : error.what();
}

void set_field(RequestLine& line, const std::string& field, std::string_view value, ValueKind kind) {
    if (is_text(field) && kind == ValueKind::number) bad(field + " must be a text, not a number");
    if (!is_text(field) && field != "id" && kind == ValueKind::text) bad(field + " must be a number, not a text");
    GenerateRequest& r = line.request;
    if (field == "prompt") r.prompt = parse_text(field, value);
    else if (field == "negative_prompt") r.negative_prompt = parse_text(field, value);
    else if (field == "sampler_name") r.sampler = parse_text(field, value);
    else if (field == "scheduler") r.scheduler = parse_text(field, value);
    else if (field == "seed") set_seed(line, value);
    else if (field == "steps") r.steps = parse_int(field, value);
    else if (field == "cfg_scale") r.cfg_scale = parse_real(field, value);
    else if (field == "width") r.width = parse_int(field, value);
    else if (field == "height") r.height = parse_int(field, value);
    else if (field == "batch_size") r.count = parse_int(field, value);
    else check_id(line.id = parse_text(field, value));
}

void check_id(std::string_view id) {
    if (id.empty()) bad("id is empty");
    if (id.size() > id_limit_bytes)
        bad("id has " + std::to_string(id.size()) + " bytes; at most " + std::to_string(id_limit_bytes) + " are taken");
    check_utf8(id, "id");
    if (id.front() == '.') bad("id begins with a dot: " + in_quotes(id));
    const auto is_bad = [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127 || c == '/' || c == '\\'; };
    if (std::ranges::any_of(id, is_bad)) bad("id holds a slash or a control character: " + in_quotes(id));
}

}  // namespace t2i::batch
