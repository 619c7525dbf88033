#include "batch/request_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/nearest.h"
#include "core/number_text.h"
#include "generators/generator.h"
#include "pipeline/request.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

enum class Kind { text, whole, real, seed, flag, id };

struct Row {
    const char* name;
    Kind kind;
    std::int64_t most = 0;                    // of whole numbers, from 1
    std::array<const char*, 3> aliases = {};  // diffusers', sd.cpp's and our own flags' names
};
constexpr std::array fields{
    Row{"prompt", Kind::text},
    Row{"negative_prompt", Kind::text, 0, {"negative"}},
    Row{"seed", Kind::seed},
    Row{"steps", Kind::whole, most_steps, {"num_inference_steps"}},
    Row{"cfg_scale", Kind::real, 0, {"guidance_scale", "guidance", "cfg"}},
    Row{"width", Kind::whole, longest_side},
    Row{"height", Kind::whole, longest_side},
    Row{"sampler_name", Kind::text, 0, {"sampling_method", "sampler"}},
    Row{"scheduler", Kind::text},
    Row{"clean_caption", Kind::flag},
    Row{"resolution_binning", Kind::flag, 0, {"use_resolution_binning"}},
    Row{"init_image", Kind::text, 0, {"init_img"}},
    Row{"mask", Kind::text, 0, {"mask_image"}},
    Row{"strength", Kind::real, 0, {"denoising_strength"}},
    Row{"resize_mode", Kind::text},
    Row{"keep_unmasked", Kind::flag},
    Row{"batch_size", Kind::whole, most_pictures, {"batch_count", "count"}},
    Row{"n_iter", Kind::whole, most_pictures},  // AUTOMATIC1111's: batches, of batch_size pictures each
    Row{"id", Kind::id},
};

// What else AUTOMATIC1111's scripts/prompts_from_file.py knows.
enum class Harm { none, unless_off, always };
struct Option {
    const char* name;
    Harm harm;
    const char* why = "";
};
constexpr std::array other_options{
    Option{"do_not_save_samples", Harm::none},
    Option{"do_not_save_grid", Harm::none},
    Option{"outpath_samples", Harm::none},
    Option{"outpath_grids", Harm::none},
    Option{"prompt_for_display", Harm::none},
    Option{"subseed", Harm::none},  // says nothing without subseed_strength
    Option{"subseed_strength", Harm::unless_off, "there are no variations of a seed here"},
    Option{"seed_resize_from_h", Harm::unless_off, "noise of another size cannot be had here"},
    Option{"seed_resize_from_w", Harm::unless_off, "noise of another size cannot be had here"},
    Option{"restore_faces", Harm::unless_off, "nothing here restores faces"},
    Option{"tiling", Harm::unless_off, "no model here makes tiles"},
    Option{"styles", Harm::always, "write the style's words into the prompt"},
    Option{"sampler_index", Harm::always, "use sampler_name"},
    Option{"sd_model", Harm::always, "a run has one model"},
};

constexpr std::size_t extra_limit_bytes = std::size_t{64} << 10;

std::string plain(std::string_view name) {
    std::string key(strip_left(strip_right(name)));
    for (char& c : key) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 32);
        if (c == '-' || c == ' ') c = '_';
    }
    return key;
}

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

double parse_real(const std::string& field, std::string_view text) {
    const auto value = parse_number<double>(text);
    if (!value || !std::isfinite(*value)) bad(field + ": " + in_quotes(text) + " is not a number");
    return *value;
}

std::int64_t parse_whole(const Row& field, std::string_view text) {
    std::int64_t value = 0;
    if (const std::string problem = read_whole(text, 1, field.most, value); !problem.empty()) bad(field.name + (": " + problem));
    return value;
}

bool parse_flag(const std::string& field, std::string_view text) {
    const std::string word = plain(text);
    for (const char* yes : {"true", "yes", "on", "1"})
        if (word == yes) return true;
    for (const char* no : {"false", "no", "off", "0"})
        if (word == no) return false;
    bad(field + ": " + in_quotes(text) + " is neither true nor false");
}

std::string parse_text(const std::string& field, std::string_view text) {
    if (text.size() > prompt_limit_bytes)
        bad(field + " has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(prompt_limit_bytes) +
            " are taken");
    check_utf8(text, field);
    if (text.find('\0') != std::string_view::npos) bad(field + " holds a NUL byte");
    return std::string(text);
}

std::string parse_path(const std::string& field, std::string_view text) {
    std::string path = parse_text(field, text);
    if (path.empty()) bad(field + " is empty; a line without one leaves it out");
    return path;
}

// Whether two neighbours of `known` changed places: "stpes".
bool is_swapped(const std::string& key, std::string known) {
    if (key.size() != known.size()) return false;
    const auto [a, b] = std::ranges::mismatch(key, known);
    if (b == known.end() || b + 1 == known.end()) return false;
    std::swap(*b, *(b + 1));
    return key == known;
}

// How AUTOMATIC1111's flag lines and people say no.
bool is_off(std::string_view value) {
    const std::string text = plain(value);
    if (text == "false" || text == "no" || text == "off" || text.starts_with('-')) return true;
    const auto number = parse_number<double>(text);
    return number && *number == 0.0;
}

}  // namespace

std::string field_name(std::string_view name) {
    const Row* row = row_of(plain(name));
    return row ? row->name : std::string();
}

void refuse_unknown(std::string_view name) {
    const auto near = nearest_name(plain(name), all_names());
    bad("unknown name " + in_quotes(name) + (near.empty() ? "" : "; did you mean " + near + "?"));
}

void refuse_misspelt(std::string_view name) {
    const std::string key = plain(name);
    if (key == "weight") return;  // a word of its own, and not a height
    const std::size_t most = key.size() < 4 ? 0 : key.size() < 8 ? 1 : 2;
    for (const auto& known : all_names())
        if (key.size() <= known.size() + most && (edit_distance(key, known) <= most || is_swapped(key, known)))
            refuse_unknown(name);
}

bool is_number(const std::string& field) {
    const Row* row = row_of(field);
    return row && row->kind != Kind::text && row->kind != Kind::flag && row->kind != Kind::id;
}

bool is_flag(const std::string& field) {
    const Row* row = row_of(field);
    return row && row->kind == Kind::flag;
}

std::string problem_of(const Error& error) {
    const Row* row = error.field().empty() ? nullptr : row_of(error.field());
    return row ? row->name + (": " + error.message()) : error.what();
}

void RequestBuilder::set(const std::string& field, std::string_view value, ValueKind kind) {
    if (!seen_.insert(field).second) bad(field + " is given twice");
    if (row_of(field)->kind == Kind::text && kind == ValueKind::number) bad(field + " must be a text, not a number");
    set_value(field, value);
}

void RequestBuilder::set_value(const std::string& field, std::string_view value) {
    GenerateRequest& r = line_.request;
    const Row& row = *row_of(field);
    if (field == "prompt") r.prompt = parse_text(field, value);
    else if (field == "negative_prompt") r.negative_prompt = parse_text(field, value);
    else if (field == "sampler_name") r.sampler = parse_text(field, value);
    else if (field == "scheduler") r.scheduler = parse_text(field, value);
    else if (field == "steps") r.steps = static_cast<int>(parse_whole(row, value));
    else if (field == "cfg_scale") r.cfg_scale = parse_real(field, value);
    else if (field == "width") r.width = static_cast<int>(parse_whole(row, value));
    else if (field == "height") r.height = static_cast<int>(parse_whole(row, value));
    else if (field == "clean_caption") r.clean_caption = parse_flag(field, value);
    else if (field == "resolution_binning") r.resolution_binning = parse_flag(field, value);
    else if (field == "init_image") r.init_image.file = parse_path(field, value);
    else if (field == "mask") r.mask.file = parse_path(field, value);
    else if (field == "strength") r.strength = parse_real(field, value);
    else if (field == "resize_mode") r.resize_mode = parse_text(field, value);
    else if (field == "keep_unmasked") r.keep_unmasked = parse_flag(field, value);
    else if (field == "batch_size") batch_size_ = parse_whole(row, value);
    else if (field == "n_iter") n_iter_ = parse_whole(row, value);
    else if (field == "id") check_id(line_.id = parse_text(field, value));
    else {
        Seed seed;
        if (const std::string problem = read_seed(value, seed); !problem.empty()) bad(field + ": " + problem);
        line_.picks_seed = seed.picks;
        if (!seed.picks) line_.seed = seed.value;
    }
}

void RequestBuilder::keep(std::string_view name, std::string_view json) {
    if (!seen_.insert(" " + std::string(name)).second) bad(in_quotes(name) + " is given twice");
    line_.extra += line_.extra.empty() ? '{' : ',';
    line_.extra += nlohmann::json(name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    line_.extra += ':';
    line_.extra += json;
    if (line_.extra.size() > extra_limit_bytes)
        bad("has over " + std::to_string(extra_limit_bytes) + " bytes of other values than a request's");
}

bool RequestBuilder::pass_over(std::string_view name, std::string_view value) {
    const auto option = std::ranges::find(other_options, plain(name), &Option::name);
    if (option == other_options.end()) return false;
    if (option->harm == Harm::always || (option->harm == Harm::unless_off && !is_off(value)))
        bad(std::string(option->name) + " is not taken: " + option->why);
    if (passed_over_) ++(*passed_over_)[option->name];
    return true;
}

RequestLine RequestBuilder::finish() {
    if (!seen_.contains("prompt")) bad("has no prompt");
    if (batch_size_ * n_iter_ > most_pictures)
        bad("batch_size times n_iter, " + std::to_string(batch_size_ * n_iter_) + ", is out of range [1, " +
            std::to_string(most_pictures) + "]");
    line_.request.count = static_cast<int>(batch_size_ * n_iter_);
    if (!line_.extra.empty()) line_.extra += '}';
    return std::move(line_);
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
