// T5's SentencePiece vocabulary with the rules of transformers' T5Tokenizer (the slow one, which PixArt's
// pipelines use).
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace t2i {

// A token that is recognised in the text as it stands, before SentencePiece sees what lies around it.
struct AddedToken {
    std::string text;
    std::int32_t id = 0;
    bool strip_left = false,
         strip_right = false;  // swallows white space on that side (transformers: lstrip, rstrip)
};

struct T5TokenizerOptions {
    // How text after an added token is read: true adds a word boundary there, false does not (transformers PR
    // 24565).
    bool legacy = true;
    int extra_ids = 100;                   // sentinels <extra_id_0> …, counted down from the end of the vocabulary
    std::vector<AddedToken> added_tokens;  // from tokenizer_config.json; empty: the class's own
};

// model: the bytes of a spiece.model; `where` names it in errors.
[[nodiscard]] std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::string& model, const T5TokenizerOptions& options,
                                                           const std::string& where);

}  // namespace t2i
