#include "text/known_words.h"

#include <algorithm>

namespace t2i {

namespace {

bool is_ascii_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool ends_word(std::string_view rest) {
    return rest.empty() || !is_ascii_word(rest.front());
}

bool stands_at(std::string_view prompt, std::size_t at, std::string_view word) {
    if (is_ascii_word(word.front()) && at > 0 && is_ascii_word(prompt[at - 1])) return false;
    const std::string_view rest = prompt.substr(at + word.size());
    if (!is_ascii_word(word.back()) || ends_word(rest)) return true;
    if (rest.starts_with("s") && ends_word(rest.substr(1))) return true;
    return rest.starts_with("es") && ends_word(rest.substr(2));
}

}  // namespace

bool has_known_word(std::string_view prompt, const std::vector<std::string>& words) {
    return words.empty() || std::ranges::any_of(words, [&](const std::string& word) {
               if (word.empty()) return false;
               for (auto at = prompt.find(word); at != std::string_view::npos; at = prompt.find(word, at + 1))
                   if (stands_at(prompt, at, word)) return true;
               return false;
           });
}

}  // namespace t2i
