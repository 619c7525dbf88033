// tokenizer.json: what the tokenizers library writes.
#pragma once

#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/fast_tokenizer.h"

namespace t2i {

// A Unigram model with the steps that T5's files have: normalizers Precompiled, Strip, Replace, Prepend; pre-tokenizers
// WhitespaceSplit and Metaspace; a template around one text. Throws Error{input} naming `where`: not JSON, nested too deeply,
// more values than any such file has, another kind of model or of step (named), values of the wrong type or out of range.
[[nodiscard]] FastParts parse_tokenizer_json(const std::string& text, const std::string& where);
// The file, which may hold up to 256 MiB.
[[nodiscard]] FastParts read_tokenizer_json(const std::string& path);
// Of the file its added tokens alone, with their ids.
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const std::string& path);

}  // namespace t2i
