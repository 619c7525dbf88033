// Tokens that are recognised in a text as it stands, before it is split into pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/prefix_index.h"

namespace t2i {

struct AddedToken {
    std::string text{};
    std::int32_t id = 0;
    bool strip_left = false, strip_right = false;  // swallows white space on that side (transformers: lstrip, rstrip)
    bool single_word = false;                      // not where letters or digits go on beside it
    bool normalized = true;                        // is looked for after normalisation
    bool special = false;

    friend bool operator==(const AddedToken&, const AddedToken&) = default;
};

// The tokens that the tokenizers library has beside a model's vocabulary (added_vocabulary.rs).
class AddedTokens {
  public:
    // A token that is known gets these properties, a piece of the vocabulary keeps its id, and others get the next one. The
    // token's own id is not read.
    // piece: the id of a text in the vocabulary, or -1.
    void add(AddedToken token, std::int32_t piece, std::int64_t vocabulary);

    [[nodiscard]] const std::vector<AddedToken>& all() const { return tokens_; }

  private:
    std::vector<AddedToken> tokens_;
    std::unordered_map<std::string, std::size_t> by_text_;
    std::int64_t next_ = 0;  // id
};

// Some of the tokens, ready to be found. Constant, so from any thread.
class TokenSplitter {
  public:
    struct Part {
        std::optional<std::int32_t> id;  // of a token
        std::size_t begin, end;          // bytes
    };
    // patterns: how each token is written in the texts that will be split. splits_special: special tokens are text like any
    // other.
    TokenSplitter(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns, bool splits_special);

    // The whole text in parts: at every place the longest token that begins there; white space that it swallows belongs to it.
    [[nodiscard]] std::vector<Part> split(std::string_view text) const;

  private:
    std::vector<AddedToken> tokens_;
    PrefixIndex index_;
    bool splits_special_;
};

}  // namespace t2i
