// T5's SentencePiece vocabulary with the rules of transformers' two classes: T5Tokenizer, the slow one, which PixArt's pipelines
// use, and T5TokenizerFast.
#pragma once

#include <memory>
#include <string>

#include "text/fast_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_settings.h"

namespace t2i {

// The slow class. model: the bytes of a spiece.model; `where` names it in errors. Throws Error{input}.
[[nodiscard]] std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::string& model, const TokenizerSettings& settings,
                                                           const std::string& where);

// What transformers 4 makes a fast tokenizer of where there is no tokenizer.json (convert_slow_tokenizer.T5Converter). Throws
// Error{input}: no Unigram model.
[[nodiscard]] FastParts convert_sentencepiece(const std::string& model, const TokenizerSettings& settings,
                                              const std::string& where);

// The tokens that PreTrainedTokenizerFast adds to those of its file. is_t5: with the class T5TokenizerFast's own.
void add_tokens_of_settings(const TokenizerSettings& settings, bool is_t5, FastParts& parts);

}  // namespace t2i
