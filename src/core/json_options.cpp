#include "core/json_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/nearest.h"
#include "core/number_text.h"
#include "core/stand_in.h"

namespace t2i {

namespace {

using Json = nlohmann::ordered_json;

std::string quote_python_numbers(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words{"-Infinity", "Infinity", "NaN"};
    std::string out;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size();) {
        if (in_string && text[i] == '\\') {
            out += text.substr(i, 2);
            i += 2;
            continue;
        }
        in_string ^= text[i] == '"';
        const auto word = in_string ? words.end() : std::find_if(words.begin(), words.end(), [&](std::string_view w) {
            return text.compare(i, w.size(), w) == 0;
        });
        if (word == words.end()) {
            out += text[i++];
            continue;
        }
        out.append("\"").append(*word).append("\"");
        i += word->size();
    }
    return out;
}

// What is wrong with a number, or nothing.
template <typename T>
std::string range_problem(const Json& value, double number, T least, T most) {
    if (number >= static_cast<double>(least) && number <= static_cast<double>(most)) return {};
    return "is out of range [" + number_text(static_cast<double>(least)) + ", " + number_text(static_cast<double>(most)) +
           "]: " + value.dump();
}

std::string integer_problem(const Json& value, std::int64_t least, std::int64_t most) {
    if (!value.is_number() || value.get<double>() != std::floor(value.get<double>())) return "must be a whole number";
    return range_problem(value, value.get<double>(), least, most);
}

}  // namespace

JsonOptions::JsonOptions(std::unique_ptr<Json> json, std::string where) : json_(std::move(json)), where_(std::move(where)) {}
JsonOptions::~JsonOptions() = default;
JsonOptions::JsonOptions(JsonOptions&&) noexcept = default;

JsonOptions JsonOptions::read(const std::string& path) {
    constexpr std::size_t limit_bytes = std::size_t{16} << 20;
    return parse(read_downloaded_file(path, limit_bytes), path);
}

JsonOptions JsonOptions::parse(const std::string& text, const std::string& where) {
    const auto fail = [&](const std::string& problem) { throw Error(ErrorCode::input, problem, where); };
    if (text.find('\0') != std::string::npos) fail("is not valid JSON: contains a NUL byte");
    constexpr int max_depth = 16;
    const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
        if (depth > max_depth) fail("is JSON that is nested too deeply");
        return true;
    };
    auto json = std::make_unique<Json>();
    try {
        *json = Json::parse(quote_python_numbers(text), limit_depth);
    } catch (const nlohmann::json::exception&) {
        fail("is not valid JSON");
    }
    if (!json->is_object()) fail("is not a JSON object");
    return {std::move(json), where};
}

JsonOptions JsonOptions::with(const Json& changes) const {
    auto json = std::make_unique<Json>(*json_);
    for (const auto& [key, value] : changes.items()) {
        if (value.is_null()) json->erase(key);
        else (*json)[key] = value;
    }
    return {std::move(json), where_};
}

Error JsonOptions::error(const std::string& key, const std::string& problem) const {
    return {ErrorCode::input, in_quotes(key) + " " + problem, where_};
}

const Json* JsonOptions::find(const std::string& key) const {
    const auto it = json_->find(key);
    return it == json_->end() || it->is_null() ? nullptr : &*it;
}

const Json* JsonOptions::find(const std::string& key, bool has_fallback) const {
    const Json* value = find(key);
    if (!value && !has_fallback) throw error(key, "is missing");
    return value;
}

bool JsonOptions::has(const std::string& key) const {
    return find(key) != nullptr;
}

std::int64_t JsonOptions::integer(const std::string& key, std::optional<std::int64_t> fallback, std::int64_t least,
                                  std::int64_t most) const {
    const Json* value = find(key, fallback.has_value());
    if (!value) return *fallback;
    if (const std::string problem = integer_problem(*value, least, most); !problem.empty()) throw error(key, problem);
    return value->get<std::int64_t>();
}

double JsonOptions::number(const std::string& key, std::optional<double> fallback) const {
    const Json* value = find(key, fallback.has_value());
    if (!value) return *fallback;
    if (!value->is_number()) throw error(key, "must be a number");
    return value->get<double>();
}

double JsonOptions::number(const std::string& key, std::optional<double> fallback, double least, double most) const {
    const double n = number(key, fallback);
    if (!has(key)) return n;
    if (const std::string problem = range_problem(*find(key), n, least, most); !problem.empty()) throw error(key, problem);
    return n;
}

bool JsonOptions::flag(const std::string& key, bool fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (!value->is_boolean()) throw error(key, "must be true or false");
    return value->get<bool>();
}

std::string JsonOptions::text(const std::string& key, const std::string& fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (!value->is_string()) throw error(key, "must be a string");
    return value->get<std::string>();
}

std::string JsonOptions::text(const std::string& key, const std::string& fallback,
                              const std::vector<std::string>& allowed) const {
    if (!has(key)) return fallback;
    std::string value = text(key, fallback);
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
    std::string list;
    for (const std::string& a : allowed) list += (list.empty() ? "" : ", ") + a;
    throw error(key, "is " + in_quotes(value) + ", which is not supported (" + list + ")");
}

std::vector<std::int64_t> JsonOptions::integers(const std::string& key, std::optional<std::vector<std::int64_t>> fallback) const {
    const Json* value = find(key, fallback.has_value());
    if (!value) return *fallback;
    const auto is_extent = [](const Json& item) { return integer_problem(item, 1, max_extent).empty(); };
    if (!value->is_array() || value->empty() || !std::all_of(value->begin(), value->end(), is_extent))
        throw error(key, "must be a list of positive integers");
    std::vector<std::int64_t> list;
    for (const auto& item : *value) list.push_back(item.get<std::int64_t>());
    return list;
}

std::vector<double> JsonOptions::numbers(const std::string& key, double least, double most) const {
    const Json* value = find(key, false);
    if (!value->is_array()) throw error(key, "must be a list of numbers");
    std::vector<double> list;
    for (const auto& item : *value) {
        if (!item.is_number()) throw error(key, "must be a list of numbers");
        if (const std::string problem = range_problem(item, item.get<double>(), least, most); !problem.empty())
            throw error(key, problem);
        list.push_back(item.get<double>());
    }
    return list;
}

std::vector<std::string> JsonOptions::texts(const std::string& key, const std::vector<std::string>& fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    std::vector<std::string> list;
    for (const auto& item : *value) {
        if (!value->is_array() || !item.is_string()) throw error(key, "must be a list of strings");
        list.push_back(item.get<std::string>());
    }
    return list;
}

}  // namespace t2i
