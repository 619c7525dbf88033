#include "text/tokenizer.h"

#include <algorithm>

#include "text/unicode.h"

namespace t2i {

Tokens first_tokens(const std::vector<PlacedToken>& tokens, std::size_t room, std::string_view utf8) {
    Tokens out;
    for (std::size_t i = 0; i < std::min(room, tokens.size()); ++i) out.append(tokens[i]);
    if (tokens.size() > room) {
        // From the next character where that place is inside one.
        std::size_t begin = tokens[room].begin;
        while (begin < utf8.size() && is_continuation(utf8[begin])) ++begin;
        out.cut = utf8.substr(begin);
    }
    return out;
}

}  // namespace t2i
