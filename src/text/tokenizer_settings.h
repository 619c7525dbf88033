// What a tokenizer folder says beside its vocabulary: tokenizer_config.json, and the older special_tokens_map.json and
// added_tokens.json.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"

namespace t2i {

// A token that has a role. A plain text has no properties of its own: those of an added token of that text hold.
struct SpecialToken {
    AddedToken token{};
    bool is_text = false;
};

struct TokenizerSettings {
    std::string class_name{};                // "tokenizer_class"; empty: none is named
    bool legacy = true;                      // slow: text after an added token begins a word (transformers PR 24565)
    std::optional<bool> add_prefix_space{};  // null in the file is false, as Python reads it
    bool has_add_prefix_space = false;       // the file sets it, to something other than null
    int extra_ids = 100;                     // sentinels <extra_id_0> …, counted down from the end of the vocabulary
    bool split_special_tokens = false;       // added tokens in a text are no tokens
    // bos, eos, unk, sep, pad, cls, mask: the order in which transformers gives ids to those that have none.
    std::array<std::optional<SpecialToken>, 7> named{};
    std::optional<std::vector<SpecialToken>> additional{};  // additional_special_tokens
    std::vector<AddedToken> added{};                        // with ids, in the file's order
    std::vector<AddedToken> described{};                    // whose properties hold for roles that name them by their text
    bool lists_added = false;                               // "added_tokens_decoder" is there: no other file adds tokens
    std::string where{};                                    // tokenizer_config.json, for errors

    enum Role : std::size_t { bos, eos, unk, sep, pad, cls, mask };
};

// Reads the folder as PreTrainedTokenizerBase._from_pretrained does: where tokenizer_config.json holds "added_tokens_decoder"
// that is all, else special_tokens_map.json and added_tokens.json count, too. Files that are not there are passed over. Throws
// Error{input} naming the file.
[[nodiscard]] TokenizerSettings read_tokenizer_settings(const std::string& folder);
// The files that it reads.
[[nodiscard]] std::vector<std::string> tokenizer_settings_files(const std::string& folder);

// {"content": "<pad>", "lstrip": false, …}; is_special: where the file does not say. Throws Error{input} naming `where`.
[[nodiscard]] AddedToken parse_added_token(const nlohmann::ordered_json& token, bool is_special, const std::string& where);

// <extra_id_0> and the like.
[[nodiscard]] bool is_sentinel(const SpecialToken& token);

// Of the class T5Tokenizer: settings.additional, with the sentinels <extra_id_0> … where it has none. Throws Error{input} where
// "extra_ids" is another number than that of the sentinels in the file.
[[nodiscard]] std::vector<SpecialToken> with_sentinels(const TokenizerSettings& settings);

// All tokens with a role, in order, each text once, and then `additional`. is_t5: with the end, the unknown and the padding of
// that class where the settings name none.
[[nodiscard]] std::vector<SpecialToken> special_tokens(const TokenizerSettings& settings,
                                                       const std::vector<SpecialToken>& additional, bool is_t5);

// The text of a role, or what the class T5Tokenizer calls it.
[[nodiscard]] std::string role_text(const TokenizerSettings& settings, TokenizerSettings::Role role);

}  // namespace t2i
