#include "text/slow_vocabulary.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <set>

namespace t2i {

SlowVocabulary::SlowVocabulary(const sentencepiece::SentencePieceProcessor& pieces, const TokenizerSettings& settings)
    : pieces_(pieces) {
    const auto additional = with_sentinels(settings);
    // Of other additional tokens than the folder's own sentinels there come the class's behind, as plain texts.
    int sentinels = settings.extra_ids;
    if (settings.additional) sentinels = static_cast<int>(std::ranges::count_if(*settings.additional, is_sentinel));
    for (int i = 0; i < sentinels; ++i) {
        const int id = pieces.GetPieceSize() - 1 + settings.extra_ids - i;
        if (id < 0) break;
        set(id, {.text = "<extra_id_" + std::to_string(i) + ">",
                 .strip_left = true,
                 .strip_right = true,
                 .normalized = false,
                 .special = true});
    }
    for (const AddedToken& token : settings.added) set(token.id, token);
    const auto specials = special_tokens(settings, additional, true);
    for (const SpecialToken& token : specials) special_.insert(token.token.text);
    // The class makes tokens of the three texts that it knows by role; others stay texts, which do not replace a token.
    std::set<std::string> own_roles;
    for (const auto role : {TokenizerSettings::eos, TokenizerSettings::unk, TokenizerSettings::pad})
        own_roles.insert(role_text(settings, role));
    std::int64_t next = size();
    for (const SpecialToken& token : specials)
        if (!token.is_text || own_roles.contains(token.token.text) || !ids_.contains(token.token.text))
            add_special(token.token, next);
    std::vector<PrefixIndex::Entry> entries;
    for (const auto& [id, token] : by_id_) entries.push_back({token.text, id});
    index_ = PrefixIndex(std::move(entries));
}

void SlowVocabulary::set(std::int32_t id, AddedToken token) {
    token.id = id;
    // A text whose id another one takes has none any more, and gets a new one where it is added again.
    if (const auto before = by_id_.find(id); before != by_id_.end() && before->second.text != token.text)
        if (const auto lost = ids_.find(before->second.text); lost != ids_.end() && lost->second == id) ids_.erase(lost);
    ids_[token.text] = id;
    by_id_[id] = std::move(token);
}

std::int32_t SlowVocabulary::piece(const std::string& text) const {
    const int id = pieces_.PieceToId(text);
    return pieces_.IdToPiece(id) == text && !by_id_.contains(id) ? id : -1;
}

std::int64_t SlowVocabulary::size() const {
    std::int64_t count = pieces_.GetPieceSize();
    for (const auto& [id, token] : by_id_) count -= id < pieces_.GetPieceSize();
    for (const auto& [text, id] : ids_) count += piece(text) < 0;
    return count;
}

void SlowVocabulary::add_special(AddedToken token, std::int64_t& next) {
    token.special = true;
    const auto known = ids_.find(token.text);
    std::int32_t id = known == ids_.end() ? piece(token.text) : known->second;
    if (id < 0) id = static_cast<std::int32_t>(next++);
    set(id, std::move(token));
}

std::int32_t SlowVocabulary::id(std::string_view text) const {
    const auto added = ids_.find(std::string(text));
    return added == ids_.end() ? pieces_.PieceToId(text) : added->second;
}

std::size_t SlowVocabulary::longest_at(std::string_view text) const {
    std::size_t longest = 0;
    index_.prefixes(text, [&](std::size_t length, std::int32_t) { longest = length; });
    return longest;
}

}  // namespace t2i
