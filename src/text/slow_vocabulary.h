// The added tokens of transformers' slow T5Tokenizer, with the ids that it gives them.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/prefix_index.h"
#include "text/tokenizer_settings.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace t2i {

// T5Tokenizer.__init__ and PreTrainedTokenizer.__init__: sentinels of the class, then the folder's tokens, then those that have a
// role. Constant once built. The processor must outlive it.
class SlowVocabulary {
  public:
    // Throws what with_sentinels() throws.
    SlowVocabulary(const sentencepiece::SentencePieceProcessor& pieces, const TokenizerSettings& settings);

    [[nodiscard]] bool is_added(std::string_view text) const { return ids_.contains(std::string(text)); }
    [[nodiscard]] bool is_special(std::string_view text) const { return special_.contains(std::string(text)); }
    // convert_tokens_to_ids: of an added token or a piece; that of the unknown piece for other texts.
    [[nodiscard]] std::int32_t id(std::string_view text) const;
    // The properties that the text's id has; the text must be added.
    [[nodiscard]] const AddedToken& token(std::string_view text) const { return by_id_.at(ids_.at(std::string(text))); }
    // The longest added token that `text` begins with, in bytes; 0: none.
    [[nodiscard]] std::size_t longest_at(std::string_view text) const;

  private:
    void set(std::int32_t id, AddedToken token);
    void add_special(AddedToken token, std::int64_t& next);
    [[nodiscard]] std::int32_t piece(const std::string& text) const;  // -1: there is none, or an added token has its id
    [[nodiscard]] std::int64_t size() const;                          // of both vocabularies, each text once

    const sentencepiece::SentencePieceProcessor& pieces_;
    std::unordered_map<std::int32_t, AddedToken> by_id_;
    std::unordered_map<std::string, std::int32_t> ids_;
    std::unordered_set<std::string> special_;
    PrefixIndex index_;
};

}  // namespace t2i
