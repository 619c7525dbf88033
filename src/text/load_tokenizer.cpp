#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "t2i/error.h"
#include "text/t5_tokenizer.h"

namespace t2i {
namespace {

std::optional<std::string> read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    return std::string{std::istreambuf_iterator<char>(file), {}};
}

AddedToken parse_added_token(const std::string& id, const nlohmann::json& token, const std::string& where) {
    AddedToken added;
    added.text = token.at("content").get<std::string>();
    added.strip_left = token.value("lstrip", false);
    added.strip_right = token.value("rstrip", false);
    const auto [end, problem] = std::from_chars(id.data(), id.data() + id.size(), added.id);
    if (problem != std::errc{} || end != id.data() + id.size() || added.id < 0 || added.text.empty())
        throw Error(ErrorCode::input, "\"added_tokens_decoder\" holds a bad token \"" + id + "\"", where);
    return added;
}

T5TokenizerOptions parse_options(const std::string& text, const std::string& where) {
    T5TokenizerOptions options;
    try {
        const auto json = nlohmann::json::parse(text);
        const std::string name = json.value("tokenizer_class", "T5Tokenizer");
        if (name != "T5Tokenizer" && name != "T5TokenizerFast")
            throw Error(ErrorCode::input, "class \"" + name + "\" is not supported (supported: T5Tokenizer)", where);
        if (json.contains("legacy") && !json["legacy"].is_null()) options.legacy = json["legacy"].get<bool>();
        options.extra_ids = json.value("extra_ids", options.extra_ids);
        if (json.contains("added_tokens_decoder"))
            for (const auto& [id, token] : json["added_tokens_decoder"].items())
                options.added_tokens.push_back(parse_added_token(id, token, where));
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorCode::input, "is not a tokenizer's configuration", where);
    }
    constexpr int max_extra_ids = 1 << 20;
    if (options.extra_ids < 0 || options.extra_ids > max_extra_ids)
        throw Error(ErrorCode::input, "\"extra_ids\" is out of range", where);
    return options;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder) {
    const auto model_path = std::filesystem::path(folder) / "spiece.model";
    const auto config_path = std::filesystem::path(folder) / "tokenizer_config.json";
    const auto model = read_file(model_path);
    if (!model) throw Error(ErrorCode::input, "cannot be read", model_path.string());
    const auto config = read_file(config_path);
    const auto options = config ? parse_options(*config, config_path.string()) : T5TokenizerOptions{};
    return make_t5_tokenizer(*model, options, model_path.string());
}

}  // namespace t2i
