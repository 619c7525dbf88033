#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace t2i {

void AddedTokens::add(AddedToken token, std::int32_t piece, std::int64_t vocabulary) {
    if (token.text.empty()) return;
    const auto [known, is_new] = by_text_.emplace(token.text, tokens_.size());
    if (!is_new) {
        token.id = tokens_[known->second].id;
        tokens_[known->second] = std::move(token);
        return;
    }
    if (next_ < vocabulary) next_ = vocabulary;
    token.id = piece >= 0 ? piece : static_cast<std::int32_t>(next_++);
    tokens_.push_back(std::move(token));
}

namespace {

std::vector<PrefixIndex::Entry> numbered(const std::vector<std::string>& patterns) {
    std::vector<PrefixIndex::Entry> entries;
    for (const auto& pattern : patterns) entries.push_back({pattern, static_cast<std::int32_t>(entries.size())});
    return entries;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
    return !ends_with_word(text.substr(0, begin)) && !starts_with_word(text.substr(end));
}

}  // namespace

TokenSplitter::TokenSplitter(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns, bool splits_special)
    : tokens_(std::move(tokens)), index_(numbered(patterns)), splits_special_(splits_special) {}

std::vector<TokenSplitter::Part> TokenSplitter::split(std::string_view text) const {
    std::vector<Part> parts;
    std::size_t done = 0;  // text that is in `parts`
    for (std::size_t at = 0; at < text.size();) {
        std::size_t length = 0;
        std::int32_t found = -1;
        index_.prefixes(text.substr(at), [&](std::size_t bytes, std::int32_t number) { length = bytes, found = number; });
        if (found < 0) {
            at = next_character(text, at);
            continue;
        }
        std::size_t begin = at, end = at + length;
        at = end;
        const AddedToken& token = tokens_[static_cast<std::size_t>(found)];
        if (splits_special_ && token.special) continue;
        if (token.single_word && !stands_alone(text, begin, end)) continue;
        if (token.strip_left) begin = std::max(strip_white_space_right(text.substr(0, begin)).size(), done);
        if (token.strip_right) end = text.size() - strip_white_space_left(text.substr(end)).size();
        if (done < begin) parts.push_back({std::nullopt, done, begin});
        parts.push_back({token.id, begin, end});
        done = end;
    }
    if (done < text.size()) parts.push_back({std::nullopt, done, text.size()});
    return parts;
}

}  // namespace t2i
