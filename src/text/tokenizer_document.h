// The JSON of a tokenizer.json, read in one pass: its vocabulary apart, which is nearly all of it.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "text/unigram.h"

namespace t2i {

struct TokenizerDocument {
    nlohmann::ordered_json rest{};                    // an object, without model.vocab where that is a list
    std::optional<Unigram::Vocabulary> vocabulary{};  // model.vocab where it is a list of pairs
};

// Takes no more memory than a few times the text. Throws Error{input} naming `where`: not JSON, nested deeper than 16, a
// vocabulary that holds something else than pairs of a text and a number, more than a million other values.
[[nodiscard]] TokenizerDocument parse_tokenizer_document(const std::string& text, const std::string& where);

}  // namespace t2i
