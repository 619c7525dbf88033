#include "models/config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace t2i {
namespace {
// No extent in a config is near it; keeps products of a few of them far from overflow.
constexpr std::int64_t max_integer = std::int64_t{1} << 24;

bool is_extent(const nlohmann::json& value) {
    return value.is_number_integer() && value >= 1 && value <= max_integer;
}
}  // namespace

ModelConfig::ModelConfig(std::unique_ptr<nlohmann::json> json, std::string where)
    : json_(std::move(json)), where_(std::move(where)) {}
ModelConfig::~ModelConfig() = default;
ModelConfig::ModelConfig(ModelConfig&&) noexcept = default;

ModelConfig ModelConfig::read(const std::string& folder) {
    const std::string path = (std::filesystem::path(folder) / "config.json").string();
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(ErrorCode::input, "cannot be opened", path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) throw Error(ErrorCode::input, "cannot be read", path);
    return parse(text, path);
}

ModelConfig ModelConfig::parse(const std::string& text, const std::string& where) {
    auto json = std::make_unique<nlohmann::json>();
    try {
        *json = nlohmann::json::parse(text);
    } catch (const nlohmann::json::parse_error& e) {
        throw Error(ErrorCode::input, "is not JSON (near byte " + std::to_string(e.byte) + ")", where);
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorCode::input, "holds JSON that cannot be represented", where);
    }
    if (!json->is_object()) throw Error(ErrorCode::input, "is not a JSON object", where);
    return {std::move(json), where};
}

Error ModelConfig::error(const std::string& key, const std::string& problem) const {
    return {ErrorCode::input, "\"" + key + "\" " + problem, where_};
}

const nlohmann::json* ModelConfig::find(const std::string& key) const {
    const auto it = json_->find(key);
    return it == json_->end() || it->is_null() ? nullptr : &*it;
}

bool ModelConfig::has(const std::string& key) const {
    return find(key) != nullptr;
}

std::string ModelConfig::class_name() const {
    if (has("_class_name")) return text("_class_name", "");
    const auto architectures = texts("architectures", {});
    if (architectures.empty())
        throw Error(ErrorCode::input, "names no class: neither \"_class_name\" nor \"architectures\"", where_);
    return architectures.front();
}

std::int64_t ModelConfig::integer(const std::string& key, std::optional<std::int64_t> fallback) const {
    const auto* value = find(key);
    if (!value && fallback) return *fallback;
    if (!value) throw error(key, "is missing");
    if (!is_extent(*value)) throw error(key, "must be a positive integer");
    return value->get<std::int64_t>();
}

double ModelConfig::number(const std::string& key, std::optional<double> fallback) const {
    const auto* value = find(key);
    if (!value && fallback) return *fallback;
    if (!value) throw error(key, "is missing");
    if (!value->is_number()) throw error(key, "must be a number");
    return value->get<double>();
}

bool ModelConfig::flag(const std::string& key, bool fallback) const {
    const auto* value = find(key);
    if (!value) return fallback;
    if (!value->is_boolean()) throw error(key, "must be true or false");
    return value->get<bool>();
}

std::string ModelConfig::text(const std::string& key, const std::string& fallback) const {
    const auto* value = find(key);
    if (!value) return fallback;
    if (!value->is_string()) throw error(key, "must be a string");
    return value->get<std::string>();
}

std::vector<std::int64_t> ModelConfig::integers(const std::string& key, std::optional<std::vector<std::int64_t>> fallback) const {
    const auto* value = find(key);
    if (!value && fallback) return *fallback;
    if (!value) throw error(key, "is missing");
    const auto problem = error(key, "must be a list of positive integers");
    if (!value->is_array() || value->empty()) throw problem;
    std::vector<std::int64_t> list;
    for (const auto& item : *value) {
        if (!is_extent(item)) throw problem;
        list.push_back(item.get<std::int64_t>());
    }
    return list;
}

std::vector<std::string> ModelConfig::texts(const std::string& key, const std::vector<std::string>& fallback) const {
    const auto* value = find(key);
    if (!value) return fallback;
    std::vector<std::string> list;
    for (const auto& item : *value) {
        if (!value->is_array() || !item.is_string()) throw error(key, "must be a list of strings");
        list.push_back(item.get<std::string>());
    }
    return list;
}

void ModelConfig::only(const std::string& key, const std::string& supported) const {
    const std::string value = text(key, supported);
    if (value != supported) throw error(key, "is \"" + value + "\"; \"" + supported + "\" is supported");
}

}  // namespace t2i
