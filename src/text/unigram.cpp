#include "text/unigram.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

Unigram::Unigram(Vocabulary vocabulary, std::optional<std::int64_t> unknown, bool byte_fallback, std::string where, Sums sums)
    : byte_fallback_(byte_fallback), sums_(sums), where_(std::move(where)) {
    const auto size = static_cast<std::int64_t>(vocabulary.size());
    if (unknown && (*unknown < 0 || *unknown >= size))
        throw Error(ErrorCode::input,
                    "\"unk_id\" is " + std::to_string(*unknown) + ", the vocabulary has " + std::to_string(size) + " pieces",
                    where_);
    unknown_ = static_cast<std::int32_t>(unknown.value_or(-1));
    constexpr double penalty = 10;  // K_UNK_PENALTY of the tokenizers library
    double least = std::numeric_limits<double>::infinity();
    std::vector<PrefixIndex::Entry> entries;
    entries.reserve(vocabulary.size());
    scores_.reserve(vocabulary.size());
    for (auto& [piece, score] : vocabulary) {
        if (!piece.empty()) least = std::min(least, score);
        entries.push_back({std::move(piece), static_cast<std::int32_t>(scores_.size())});
        scores_.push_back(score);
    }
    unknown_score_ = least - penalty;
    if (sums_ == Sums::f32) unknown_score_ = static_cast<float>(unknown_score_);
    index_ = PrefixIndex(std::move(entries));
}

void Unigram::encode(std::string_view text, std::vector<Piece>& to) const {
    constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();
    struct Best {  // of the paths that end at a byte
        std::int32_t id = -1;
        double score = 0;
        std::size_t begin = nowhere;
    };
    std::vector<Best> best(text.size() + 1);
    const auto offer = [&](std::size_t begin, std::size_t end, std::int32_t id, double score) {
        double total = best[begin].score + score;
        if (sums_ == Sums::f32) total = static_cast<float>(total);  // the sum of two floats, rounded once
        if (best[end].begin == nowhere || total > best[end].score) best[end] = {id, total, begin};
    };
    for (std::size_t at = 0, next = 0; at < text.size(); at = next) {
        next = next_character(text, at);
        bool covers_character = false;
        index_.prefixes(text.substr(at), [&](std::size_t length, std::int32_t id) {
            offer(at, at + length, id, scores_[static_cast<std::size_t>(id)]);
            covers_character |= at + length == next;
        });
        if (!covers_character) offer(at, next, unknown_, unknown_score_);
    }
    const auto first = static_cast<std::ptrdiff_t>(to.size());
    for (std::size_t end = text.size(); end > 0;) {
        std::size_t begin = best[end].begin;
        const std::int32_t id = best[end].id;
        while (id == unknown_ && begin > 0 && best[begin].id == unknown_) begin = best[begin].begin;
        if (id == unknown_) append_unknown(text, begin, end, to);
        else to.push_back({id, begin, end});
        end = begin;
    }
    std::reverse(to.begin() + first, to.end());
}

// The last byte first, as encode() goes.
void Unigram::append_unknown(std::string_view text, std::size_t begin, std::size_t end, std::vector<Piece>& to) const {
    // Unknown characters one after the other may make a piece that was worth less than they.
    if (const std::int32_t id = index_.find(text.substr(begin, end - begin)); id >= 0) {
        to.push_back({id, begin, end});
        return;
    }
    if (byte_fallback_) {
        std::vector<std::int32_t> bytes;
        for (std::size_t i = begin; i < end; ++i) {
            std::array<char, 8> name{};
            std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(static_cast<unsigned char>(text[i])));
            bytes.push_back(index_.find(name.data()));
        }
        if (std::ranges::find(bytes, -1) == bytes.end()) {
            for (std::size_t i = bytes.size(); i-- > 0;) to.push_back({bytes[i], begin, end});
            return;
        }
    }
    if (unknown_ < 0)
        throw Error(ErrorCode::input,
                    "has no piece for \"" + std::string(text.substr(begin, end - begin)) + "\" and no \"unk_id\"", where_);
    to.push_back({unknown_, begin, end});
}

}  // namespace t2i
