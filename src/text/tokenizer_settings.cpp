#include "text/tokenizer_settings.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "core/json_options.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 7> role_keys{"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};
constexpr const char *additional_key = "additional_special_tokens", *decoder_key = "added_tokens_decoder";
constexpr std::string_view sentinel = "<extra_id_";
constexpr int max_extra_ids = 1 << 20;

std::string path_of(const std::string& folder, const char* name) {
    return (fs::path(folder) / name).string();
}

std::string config_path(const std::string& folder) {
    return path_of(folder, "tokenizer_config.json");
}
std::string special_map_path(const std::string& folder) {
    return path_of(folder, "special_tokens_map.json");
}
std::string added_path(const std::string& folder) {
    return path_of(folder, "added_tokens.json");
}

std::int32_t parse_id(const std::string& text, const JsonOptions& json, const std::string& key) {
    const auto id = parse_number<std::int32_t>(text);
    if (!id || *id < 0) throw json.error(key, "holds a bad id \"" + text + "\"");
    return *id;
}

// A text, or an object with properties. is_special: in special_tokens_map.json all are.
SpecialToken parse_special_token(const Json& value, bool is_special, const JsonOptions& json, const std::string& key) {
    if (value.is_string()) {
        const auto text = value.get<std::string>();
        return {.token = {.text = text, .normalized = false, .special = true}, .is_text = true};
    }
    if (!value.is_object()) throw json.error(key, "must be a text or an object");
    SpecialToken token{.token = parse_added_token(value, is_special, json.where())};
    token.token.special |= is_special;
    return token;
}

void read_roles(const JsonOptions& json, bool is_special, TokenizerSettings& settings) {
    for (std::size_t role = 0; role < role_keys.size(); ++role)
        if (const Json* value = json.find(role_keys[role]))
            settings.named[role] = parse_special_token(*value, is_special, json, role_keys[role]);
    const Json* additional = json.find(additional_key);
    if (!additional) return;
    if (!additional->is_array()) throw json.error(additional_key, "must be a list");
    auto& all = settings.additional ? *settings.additional : settings.additional.emplace();
    for (const Json& value : *additional) {
        SpecialToken token = parse_special_token(value, is_special, json, additional_key);
        const auto is_same = [&](const SpecialToken& t) { return t.is_text == token.is_text && t.token == token.token; };
        if (std::ranges::none_of(all, is_same)) all.push_back(std::move(token));
    }
}

void read_config(const JsonOptions& json, TokenizerSettings& settings) {
    settings.class_name = json.text("tokenizer_class", "");
    settings.legacy = json.flag("legacy", settings.legacy);
    settings.has_add_prefix_space = json.has("add_prefix_space");
    if (settings.has_add_prefix_space) settings.add_prefix_space = json.flag("add_prefix_space", true);
    else if (json.all().contains("add_prefix_space")) settings.add_prefix_space = false;
    settings.extra_ids = static_cast<int>(json.integer("extra_ids", settings.extra_ids, 0, max_extra_ids));
    settings.split_special_tokens = json.flag("split_special_tokens", false);
    read_roles(json, false, settings);
    const Json* added = json.find(decoder_key);
    if (!added) return;
    if (!added->is_object()) throw json.error(decoder_key, "must be an object");
    settings.lists_added = true;
    for (const auto& [id, value] : added->items()) {
        AddedToken token = parse_added_token(value, false, json.where());
        token.id = parse_id(id, json, decoder_key);
        settings.added.push_back(std::move(token));
    }
    settings.described = settings.added;
}

// {"<token>": 32100}.
void read_added(const JsonOptions& json, TokenizerSettings& settings) {
    std::set<std::string> special;
    for (const auto& token : settings.named)
        if (token) special.insert(token->token.text);
    for (const auto& token : settings.additional.value_or(std::vector<SpecialToken>{})) special.insert(token.token.text);
    for (const auto& [text, id] : json.all().items()) {
        if (!id.is_number_integer()) throw json.error(text, "must be a whole number");
        const bool is_special = special.contains(text);
        settings.added.push_back(
            {.text = text, .id = parse_id(id.dump(), json, text), .normalized = !is_special, .special = is_special});
    }
}

}  // namespace

AddedToken parse_added_token(const Json& token, bool is_special, const std::string& where) {
    AddedToken added;
    try {
        added.text = token.at("content").get<std::string>();
        added.strip_left = token.value("lstrip", false);
        added.strip_right = token.value("rstrip", false);
        added.single_word = token.value("single_word", false);
        added.special = token.value("special", is_special);
        added.normalized = token.value("normalized", !added.special);
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorCode::input, "holds a token that is no object of a text \"content\" and flags", where);
    }
    if (added.text.empty()) throw Error(ErrorCode::input, "holds a token without text", where);
    return added;
}

TokenizerSettings read_tokenizer_settings(const std::string& folder) {
    TokenizerSettings settings;
    settings.where = config_path(folder);
    if (exists_at_all(settings.where)) read_config(JsonOptions::read(settings.where), settings);
    if (settings.lists_added) return settings;
    if (const auto path = special_map_path(folder); exists_at_all(path)) read_roles(JsonOptions::read(path), true, settings);
    if (const auto path = added_path(folder); exists_at_all(path)) read_added(JsonOptions::read(path), settings);
    return settings;
}

std::vector<std::string> tokenizer_settings_files(const std::string& folder) {
    std::vector<std::string> files;
    if (const auto path = config_path(folder); exists_at_all(path)) {
        files.push_back(path);
        if (JsonOptions::read(path).has(decoder_key)) return files;
    }
    for (const auto& path : {special_map_path(folder), added_path(folder)})
        if (exists_at_all(path)) files.push_back(path);
    return files;
}

bool is_sentinel(const SpecialToken& token) {
    return token.token.text.find(sentinel) != std::string::npos;
}

std::vector<SpecialToken> with_sentinels(const TokenizerSettings& settings) {
    auto tokens = settings.additional.value_or(std::vector<SpecialToken>{});
    const auto sentinels = std::ranges::count_if(tokens, is_sentinel);
    if (sentinels > 0 && settings.extra_ids > 0 && sentinels != settings.extra_ids)
        throw Error(ErrorCode::input,
                    "\"extra_ids\" is " + std::to_string(settings.extra_ids) + ", \"additional_special_tokens\" holds " +
                        std::to_string(sentinels) + " of them",
                    settings.where);
    if (sentinels == 0)
        for (int i = 0; i < settings.extra_ids; ++i)
            tokens.push_back(
                {.token = {.text = std::string(sentinel) + std::to_string(i) + ">", .normalized = false, .special = true},
                 .is_text = true});
    return tokens;
}

std::string role_text(const TokenizerSettings& settings, TokenizerSettings::Role role) {
    if (const auto& token = settings.named.at(role)) return token->token.text;
    switch (role) {
        case TokenizerSettings::eos:
            return "</s>";
        case TokenizerSettings::unk:
            return "<unk>";
        case TokenizerSettings::pad:
            return "<pad>";
        default:
            return {};
    }
}

std::vector<SpecialToken> special_tokens(const TokenizerSettings& settings, const std::vector<SpecialToken>& additional,
                                         bool is_t5) {
    std::vector<SpecialToken> tokens;
    std::set<std::string> seen;
    const auto add = [&](const SpecialToken& token) {
        if (!token.token.text.empty() && seen.insert(token.token.text).second) tokens.push_back(token);
    };
    for (std::size_t i = 0; i < settings.named.size(); ++i) {
        if (const auto& named = settings.named[i]) {
            const auto known = std::ranges::find(settings.described, named->token.text, &AddedToken::text);
            add(known == settings.described.end() ? *named : SpecialToken{.token = *known});
        } else if (is_t5) {
            const auto role = static_cast<TokenizerSettings::Role>(i);
            add({.token = {.text = role_text(settings, role), .normalized = false, .special = true}, .is_text = true});
        }
    }
    for (const SpecialToken& token : additional) add(token);
    return tokens;
}

}  // namespace t2i
