#include "text/t5_tokenizer.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/check.h"
#include "core/escape.h"
#include "t2i/error.h"
#include "text/aligned_text.h"
#include "text/sentencepiece_model.h"
#include "text/slow_vocabulary.h"
#include "text/unicode.h"

namespace t2i {
namespace {

constexpr std::string_view word_boundary = "\u2581";  // how SentencePiece writes a space

// Protobuf merges what is appended: ModelProto.normalizer_spec.add_dummy_prefix = false (fields 3 and 3).
constexpr std::string_view no_dummy_prefix("\x1A\x02\x18\x00", 4);

AlignedText boundaries_as_spaces(std::string_view utf8) {
    const AlignedText text(utf8);
    AlignedText spaced;
    for (std::size_t at = 0; at < utf8.size();) {
        const std::size_t end = std::min(utf8.find(word_boundary, at), utf8.size());
        spaced.append(text.slice(at, end));
        if (end < utf8.size()) spaced.append(" ", end);
        at = end + word_boundary.size();
    }
    return spaced;
}

class T5Tokenizer final : public Tokenizer {
  public:
    T5Tokenizer(const std::string& model, const TokenizerSettings& settings, const std::string& where)
        : legacy_(settings.legacy),
          adds_prefix_(settings.add_prefix_space.value_or(true)),
          splits_tokens_(settings.split_special_tokens),
          unknown_(role_text(settings, TokenizerSettings::unk)),
          pieces_(loaded(legacy_ ? model : model + std::string(no_dummy_prefix), where)),
          vocabulary_(*pieces_, settings) {
        eos_ = vocabulary_.id(role_text(settings, TokenizerSettings::eos));
        compare_in_float(model, where);
        if (!legacy_) unknown_pieces_ = split_pieces(unknown_).size();
    }

    [[nodiscard]] Tokens encode(std::string_view utf8, std::int64_t max_tokens) const override {
        T2I_CHECK(max_tokens >= 1, "no room for the end of the sequence");
        const auto pieces = tokenize(utf8);
        const auto room = static_cast<std::size_t>(max_tokens - 1);
        Tokens tokens = first_tokens(pieces, room, utf8);
        // An end that the text itself brought is no loss: one is appended anyway.
        if (pieces.size() == room + 1 && pieces.back().id == eos_) tokens.cut.clear();
        if (tokens.ids.empty() || tokens.ids.back() != eos_) tokens.append({eos_, 0, 0});
        return tokens;
    }

  private:
    using Processor = sentencepiece::SentencePieceProcessor;

    static std::unique_ptr<Processor> loaded(const std::string& model, const std::string& where) {
        auto processor = std::make_unique<Processor>();
        load_sentencepiece(*processor, model, where);
        return processor;
    }

    // SentencePiece 0.1 compares a path's score in double with others' in float, which later ones (0.2) do in float alone: of
    // near ties they choose another. This is their choice, whichever SentencePiece is here.
    void compare_in_float(const std::string& model, const std::string& where) {
        const SentencePieceFields fields = read_sentencepiece_fields(model);
        if (!fields.is_unigram) return;
        Unigram::Vocabulary vocabulary;
        const auto is_text = [&](int i) {
            return !pieces_->IsControl(i) && !pieces_->IsUnknown(i) && !pieces_->IsUnused(i) && !pieces_->IsByte(i);
        };
        float most = std::numeric_limits<float>::lowest();
        for (int i = 0; i < pieces_->GetPieceSize(); ++i)
            if (is_text(i) && !fields.user_defined.contains(i)) most = std::max(most, pieces_->GetScore(i));
        for (int i = 0; i < pieces_->GetPieceSize(); ++i) {
            if (pieces_->IsByte(i)) return;  // what stands for an unknown text is no part of it
            const std::string piece = is_text(i) ? pieces_->IdToPiece(i) : std::string();
            // unigram_model.cc: what a user defined is always chosen.
            const double score = fields.user_defined.contains(i)
                                     ? static_cast<float>(static_cast<double>(piece.size()) * most - 0.1)
                                     : pieces_->GetScore(i);
            vocabulary.emplace_back(piece, score);
        }
        unigram_.emplace(std::move(vocabulary), pieces_->unk_id(), false, where, Unigram::Sums::f32);
    }

    struct SplitPiece {
        std::string text;        // as SentencePiece writes it
        std::size_t begin, end;  // bytes of the input
    };
    [[nodiscard]] std::vector<SplitPiece> split_pieces(const std::string& input) const {
        const auto encoded = pieces_->EncodeAsImmutableProto(input);
        std::vector<SplitPiece> pieces;
        for (const auto& piece : encoded.pieces()) pieces.push_back({piece.piece(), piece.begin(), piece.end()});
        if (!unigram_) return pieces;
        std::string normalized;
        std::vector<std::size_t> piece_at;  // of every byte
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            normalized += pieces[i].text;
            piece_at.resize(normalized.size(), i);
        }
        std::vector<Unigram::Piece> found;
        unigram_->encode(normalized, found);
        std::vector<SplitPiece> split;
        for (const auto& piece : found)
            split.push_back({normalized.substr(piece.begin, piece.end - piece.begin), pieces[piece_at[piece.begin]].begin,
                             pieces[piece_at[piece.end - 1]].end});
        return split;
    }

    // T5Tokenizer.tokenize.
    [[nodiscard]] std::vector<PlacedToken> tokenize(std::string_view utf8) const {
        std::vector<PlacedToken> tokens;
        if (utf8.empty()) return tokens;
        if (legacy_) {
            append_parts(AlignedText(utf8), tokens, utf8);
            return tokens;
        }
        AlignedText text;
        if (adds_prefix_) text.append(word_boundary, 0);
        text.append(boundaries_as_spaces(utf8));
        if (append_parts(text, tokens, utf8)) tokens.erase(tokens.begin());
        return tokens;
    }

    // PreTrainedTokenizer.tokenize: splits at added tokens, gives white space beside them to those that swallow it, and those
    // that must be single words back to the text that goes on beside them. Then SentencePiece splits the texts between. True when
    // the first two tokens are a lone word boundary and one that has a role.
    bool append_parts(const AlignedText& text, std::vector<PlacedToken>& to, std::string_view prompt) const {
        std::vector<AlignedText> parts = split(text);
        if (!splits_tokens_)
            for (std::size_t i = 0; i < parts.size(); ++i)
                if (vocabulary_.is_added(parts[i].text)) apply_properties(parts, i);
        std::size_t count = 0;
        bool first_is_boundary = false, second_is_special = false;
        const auto add = [&](std::string_view token, PlacedToken placed) {
            if (count == 0) first_is_boundary = token == word_boundary;
            if (count == 1) second_is_special = vocabulary_.is_special(token);
            ++count;
            to.push_back(placed);
        };
        for (const AlignedText& part : parts) {
            if (part.text.empty()) continue;
            if (!splits_tokens_ && vocabulary_.is_added(part.text))
                add(part.text, placed(vocabulary_.id(part.text), part, 0, part.text.size(), prompt));
            else append_pieces(part, prompt, add);
        }
        return first_is_boundary && second_is_special;
    }

    // Texts and added tokens by turns: at every place the longest token that begins there.
    [[nodiscard]] std::vector<AlignedText> split(const AlignedText& text) const {
        std::vector<AlignedText> parts;
        const std::string_view all = text.text;
        std::size_t begin = 0;
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t length = splits_tokens_ ? 0 : vocabulary_.longest_at(all.substr(at));
            if (length == 0) {
                at = next_character(all, at);
                continue;
            }
            if (begin < at) parts.push_back(text.slice(begin, at));
            parts.push_back(text.slice(at, at + length));
            begin = at += length;
        }
        if (begin < all.size()) parts.push_back(text.slice(begin, all.size()));
        return parts;
    }

    void apply_properties(std::vector<AlignedText>& parts, std::size_t i) const {
        const AddedToken& token = vocabulary_.token(parts[i].text);
        AlignedText* left = i > 0 && !parts[i - 1].text.empty() ? &parts[i - 1] : nullptr;
        AlignedText* right = i + 1 < parts.size() ? &parts[i + 1] : nullptr;
        const bool left_goes_on = left && left->text.back() != ' ', right_goes_on = right && right->text.front() != ' ';
        if (token.strip_right && right) {
            const std::size_t kept = strip_left(right->text).size();
            *right = right->slice(right->text.size() - kept, right->text.size());
        }
        if (token.strip_left && left) *left = left->slice(0, strip_right(left->text).size());
        if (!token.single_word || !(left_goes_on || right_goes_on)) return;
        if (left_goes_on) {
            left->append(parts[i]);
        } else {
            AlignedText joined = parts[i];
            joined.append(*right);
            *right = std::move(joined);
        }
        parts[i] = {};
    }

    // T5Tokenizer._tokenize. SentencePiece drops a word boundary at the beginning, which survives only behind something else.
    template <typename Add>
    void append_pieces(const AlignedText& text, std::string_view prompt, Add&& add) const {
        const bool is_behind = !legacy_ && (text.text.starts_with(word_boundary) || text.text.starts_with(' '));
        const std::size_t prefix = is_behind ? unknown_.size() : 0;
        const auto pieces = split_pieces(is_behind ? unknown_ + text.text : text.text);
        const std::size_t skip = is_behind && pieces.size() >= unknown_pieces_ ? unknown_pieces_ : 0;
        const auto place = [&](std::size_t at) { return std::min(at > prefix ? at - prefix : 0, text.text.size()); };
        for (std::size_t i = skip; i < pieces.size(); ++i)
            add(pieces[i].text,
                placed(vocabulary_.id(pieces[i].text), text, place(pieces[i].begin), place(pieces[i].end), prompt));
    }

    static PlacedToken placed(std::int32_t id, const AlignedText& text, std::size_t begin, std::size_t end,
                              std::string_view prompt) {
        if (begin >= end) {
            const std::size_t at = begin < text.origin.size() ? text.origin[begin] : prompt.size();
            return {id, at, at};
        }
        return {id, text.origin[begin], next_character(prompt, text.origin[end - 1])};
    }

    bool legacy_, adds_prefix_, splits_tokens_;
    std::string unknown_;
    std::unique_ptr<Processor> pieces_;
    SlowVocabulary vocabulary_;
    std::optional<Unigram> unigram_;
    std::int32_t eos_ = 1;
    std::size_t unknown_pieces_ = 0;  // how many pieces the unknown token's text itself makes
};

}  // namespace

std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::string& model, const TokenizerSettings& settings,
                                             const std::string& where) {
    return std::make_unique<T5Tokenizer>(model, settings, where);
}

FastParts convert_sentencepiece(const std::string& model, const TokenizerSettings& settings, const std::string& where) {
    sentencepiece::SentencePieceProcessor pieces;
    load_sentencepiece(pieces, model, where);
    const SentencePieceFields fields = read_sentencepiece_fields(model);
    if (!fields.is_unigram) throw Error(ErrorCode::input, "is no Unigram model, which T5TokenizerFast needs", where);
    FastParts parts;
    parts.where = where;
    for (int i = 0; i < pieces.GetPieceSize(); ++i) {
        const std::string& piece = pieces.IdToPiece(i);
        if (!is_utf8(piece)) throw Error(ErrorCode::input, "holds a piece that is not UTF-8", where);
        parts.vocabulary.emplace_back(piece, static_cast<double>(pieces.GetScore(i)));
        if (pieces.IsControl(i) || fields.user_defined.contains(i))
            parts.added.push_back({.text = piece, .id = i, .normalized = false, .special = pieces.IsControl(i)});
    }
    for (int i = settings.extra_ids; i-- > 0;) parts.vocabulary.emplace_back("<extra_id_" + std::to_string(i) + ">", 0.0);
    parts.unknown = fields.unknown;
    if (!fields.charsmap.empty()) parts.normalizers.emplace_back(std::make_shared<const Charsmap>(fields.charsmap, where));
    parts.normalizers.emplace_back(Strip{.left = false, .right = true});
    parts.normalizers.emplace_back(Replace{.pattern = " ", .content = std::string(word_boundary), .least = 2});
    using Scheme = Metaspace::Scheme;
    const Scheme scheme = !settings.add_prefix_space.value_or(true) ? Scheme::never
                          : settings.legacy                         ? Scheme::always
                                                                    : Scheme::first;
    parts.pre_tokenizers.emplace_back(Metaspace{.replacement = std::string(word_boundary), .scheme = scheme});
    parts.after = {SlowVocabulary(pieces, settings).id("</s>")};
    return parts;
}

void add_tokens_of_settings(const TokenizerSettings& settings, bool is_t5, FastParts& parts) {
    auto added = settings.added;
    std::ranges::stable_sort(added, {}, &AddedToken::id);
    for (AddedToken& token : added) parts.added.push_back(std::move(token));
    const auto additional = is_t5 ? with_sentinels(settings) : settings.additional.value_or(std::vector<SpecialToken>{});
    std::unordered_set<std::string> known;
    for (const AddedToken& token : parts.added) known.insert(token.text);
    for (const SpecialToken& token : special_tokens(settings, additional, is_t5))
        if (!token.is_text || !known.contains(token.token.text)) parts.added.push_back(token.token);
    parts.splits_special = settings.split_special_tokens;
}

}  // namespace t2i
