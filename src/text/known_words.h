// The words that a model has learnt: to tell a user early that a prompt has none of them, and which come nearest.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i {

// What a model folder says of words, of all its languages together; lower case, UTF-8.
struct LearntWords {
    std::vector<std::string> words;    // that point at something: what has_known_word() looks for
    std::vector<std::string> names;    // of whole concepts: "hot dog"
    std::vector<std::string> phrases;  // of styles, backgrounds and sentences, which are no things: "a", "background"
    std::vector<std::pair<std::string, std::vector<std::string>>> keywords;  // not learnt: "kitten", and the names it stands for
};

// Whether any of `words` (lower case, UTF-8) stands in `prompt` (lower case, UTF-8). A word that begins or ends with an ASCII
// letter or digit must not go on there, apart from a plural's s or es; Chinese has no spaces, so its words may stand anywhere.
// True when `words` is empty: nothing is known about the model then.
[[nodiscard]] bool has_known_word(std::string_view prompt, const std::vector<std::string>& words);

// The words of `prompt` (lower case, UTF-8) that are not among those learnt, each once, in order, with up to three names or words
// that come nearest: the names that a keyword stands for, else what is spelt like it. Numbers and words of fewer than three
// letters are passed over. Chinese is cut at the longest words known. Empty when nothing is known about the model.
[[nodiscard]] std::vector<UnknownWord> unknown_words(std::string_view prompt, const LearntWords& learnt);

}  // namespace t2i
