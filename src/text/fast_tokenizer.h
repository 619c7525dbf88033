// The tokenizers library's pipeline around a Unigram model: what transformers calls a fast tokenizer.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"
#include "text/unigram.h"

namespace t2i {

// Normalizers, by their names in tokenizer.json.
struct Strip {
    bool left, right;
};
// Runs of at least `least` times `pattern` become `content`; `least` 0: every single one does.
struct Replace {
    std::string pattern, content;
    std::size_t least = 0;
};
struct Prepend {
    std::string text;
};
using Normalizer = std::variant<std::shared_ptr<const Charsmap>, Strip, Replace, Prepend>;

// Pre-tokenizers.
struct WhitespaceSplit {};
struct Metaspace {
    enum class Scheme : std::uint8_t { always, first, never };  // where a replacement is put before a word
    std::string replacement;                                    // of a space
    Scheme scheme = Scheme::always;
    bool split = true;
};
using PreTokenizer = std::variant<WhitespaceSplit, Metaspace>;

struct FastParts {
    Unigram::Vocabulary vocabulary{};
    std::optional<std::int64_t> unknown{};
    bool byte_fallback = false;
    std::vector<Normalizer> normalizers{};
    std::vector<PreTokenizer> pre_tokenizers{};
    std::vector<std::int32_t> before{}, after{};  // ids around every text (TemplateProcessing)
    std::vector<AddedToken> added{};              // in the order in which they get ids
    bool splits_special = false;                  // special tokens in a text are no tokens
    std::string where{};                          // the file, for errors
};

// Throws Error{input} naming parts.where.
[[nodiscard]] std::unique_ptr<Tokenizer> make_fast_tokenizer(FastParts parts);

}  // namespace t2i
