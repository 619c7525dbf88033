#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json_options.h"
#include "core/number_text.h"
#include "t2i/error.h"
#include "text/t5_tokenizer.h"

namespace t2i {
namespace {

AddedToken parse_added_token(const std::string& id, const nlohmann::ordered_json& token, const std::string& where) {
    AddedToken added;
    added.text = token.at("content").get<std::string>();
    added.strip_left = token.value("lstrip", false);
    added.strip_right = token.value("rstrip", false);
    added.id = parse_number<std::int32_t>(id).value_or(-1);
    if (added.id < 0 || added.text.empty())
        throw Error(ErrorCode::input, "\"added_tokens_decoder\" holds a bad token \"" + id + "\"", where);
    return added;
}

T5TokenizerOptions read_options(const std::string& path) {
    const JsonOptions json = JsonOptions::read(path);
    const std::string name = json.text("tokenizer_class", "T5Tokenizer");
    if (name != "T5Tokenizer" && name != "T5TokenizerFast")
        throw Error(ErrorCode::input, "class \"" + name + "\" is not supported (supported: T5Tokenizer)", path);
    constexpr int max_extra_ids = 1 << 20;
    T5TokenizerOptions options;
    options.legacy = json.flag("legacy", options.legacy);
    options.extra_ids = static_cast<int>(json.integer("extra_ids", options.extra_ids, 0, max_extra_ids));
    if (const auto* added = json.find("added_tokens_decoder")) {
        try {
            for (const auto& [id, token] : added->items()) options.added_tokens.push_back(parse_added_token(id, token, path));
        } catch (const nlohmann::json::exception&) {
            throw json.error("added_tokens_decoder", "holds a bad token");
        }
    }
    return options;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder) {
    const auto model_path = std::filesystem::path(folder) / "spiece.model";
    const auto config_path = std::filesystem::path(folder) / "tokenizer_config.json";
    const std::string model = read_text_file(model_path.string());
    const auto options = std::filesystem::exists(config_path) ? read_options(config_path.string()) : T5TokenizerOptions{};
    return make_t5_tokenizer(model, options, model_path.string());
}

}  // namespace t2i
