// The Unigram model of the tokenizers library: the pieces of a text whose scores add up to most.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/prefix_index.h"

namespace t2i {

// Constant once built, so from any thread.
class Unigram {
  public:
    struct Piece {
        std::int32_t id;
        std::size_t begin, end;  // bytes of the text
    };
    // Piece and score; a piece's place is its id. An empty piece is found nowhere.
    using Vocabulary = std::vector<std::pair<std::string, double>>;

    // How paths are compared: the tokenizers library adds scores in double, SentencePiece in float, which decides near ties.
    enum class Sums : std::uint8_t { f32, f64 };

    // unknown: the id of what no piece covers; without one such a text is an error. byte_fallback: pieces <0x00> … <0xFF> stand
    // in for it. Throws Error{input} naming `where`: `unknown` outside the vocabulary.
    Unigram(Vocabulary vocabulary, std::optional<std::int64_t> unknown, bool byte_fallback, std::string where,
            Sums sums = Sums::f64);

    // Appends the pieces of `text`, which must be UTF-8. Neighbouring unknown characters are one piece. Throws Error{input} where
    // one is met and the vocabulary has no unknown piece.
    void encode(std::string_view text, std::vector<Piece>& to) const;

    [[nodiscard]] std::int32_t find(std::string_view piece) const { return index_.find(piece); }  // -1: there is none
    [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(scores_.size()); }

  private:
    void append_unknown(std::string_view text, std::size_t begin, std::size_t end, std::vector<Piece>& to) const;

    std::vector<double> scores_;
    PrefixIndex index_;
    std::int32_t unknown_ = -1;
    bool byte_fallback_ = false;
    Sums sums_;
    double unknown_score_ = 0;
    std::string where_;
};

}  // namespace t2i
