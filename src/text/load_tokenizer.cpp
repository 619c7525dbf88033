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

std::vector<std::string> tokenizer_files(const std::string& folder) {
    std::vector<std::string> files{(std::filesystem::path(folder) / "spiece.model").string()};
    const auto config = std::filesystem::path(folder) / "tokenizer_config.json";
    if (std::filesystem::exists(config)) files.push_back(config.string());
    return files;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder) {
    const auto files = tokenizer_files(folder);
    const std::string model = read_text_file(files.front());
    const auto options = files.size() > 1 ? read_options(files.back()) : T5TokenizerOptions{};
    return make_t5_tokenizer(model, options, files.front());
}

}  // namespace t2i
