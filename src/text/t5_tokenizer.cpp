#include "text/t5_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <new>

#include "core/check.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {
namespace {

constexpr std::string_view word_boundary = "\u2581";  // how SentencePiece writes a space

// Protobuf merges what is appended: ModelProto.normalizer_spec.add_dummy_prefix = false (fields 3 and 3).
constexpr std::string_view no_dummy_prefix("\x1A\x02\x18\x00", 4);

std::string boundaries_as_spaces(std::string_view text) {
    std::string spaced;
    for (auto at = text.find(word_boundary); at != std::string_view::npos; at = text.find(word_boundary)) {
        spaced.append(text.substr(0, at)).push_back(' ');
        text.remove_prefix(at + word_boundary.size());
    }
    return spaced.append(text);
}

// The text from `begin` on, or from the next character where that is inside one.
std::string_view from_character(std::string_view utf8, std::size_t begin) {
    while (begin < utf8.size() && (static_cast<unsigned char>(utf8[begin]) & 0xC0U) == 0x80U) ++begin;
    return utf8.substr(begin);
}

// One id and the part of the prompt it stands for.
struct Piece {
    std::int32_t id;
    std::size_t begin, end;  // bytes of the prompt
};

class T5Tokenizer final : public Tokenizer {
  public:
    T5Tokenizer(const std::string& model, const T5TokenizerOptions& options, const std::string& where) : legacy_(options.legacy) {
        load(legacy_ ? model : model + std::string(no_dummy_prefix), where);
        eos_ = control_id("</s>", where);
        added_ = options.added_tokens;
        if (added_.empty()) add_default_tokens(options.extra_ids, where);
        // The longest of those that start at one place wins.
        std::ranges::stable_sort(added_, [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
        vocabulary_ = processor_.GetPieceSize();
        for (const auto& token : added_) vocabulary_ = std::max<std::int64_t>(vocabulary_, token.id + 1);
        if (!legacy_) unknown_pieces_ = pieces_of("<unk>").size();
    }

    [[nodiscard]] std::int64_t vocabulary() const override { return vocabulary_; }

    [[nodiscard]] Tokens encode(std::string_view utf8, std::int64_t max_tokens) const override {
        T2I_CHECK(max_tokens >= 1, "no room for the end of the sequence");
        const auto pieces = tokenize(utf8);
        Tokens tokens;
        const bool ends_itself = !pieces.empty() && pieces.back().id == eos_;
        const auto room = static_cast<std::size_t>(max_tokens - 1);
        for (const auto& piece : pieces) {
            if (tokens.ids.size() == room) {
                // An end that the text itself brought is no loss: one is appended anyway.
                if (!(ends_itself && pieces.size() == room + 1)) tokens.cut = std::string(from_character(utf8, piece.begin));
                break;
            }
            tokens.ids.push_back(piece.id);
        }
        if (tokens.ids.empty() || tokens.ids.back() != eos_) tokens.ids.push_back(eos_);
        return tokens;
    }

  private:
    void load(const std::string& model, const std::string& where) {
        bool loaded = false;
        try {
            loaded = processor_.LoadFromSerializedProto(model).ok();
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::exception&) {
            // Its trie builder throws on some damaged models.
        }
        if (!loaded) throw Error(ErrorCode::input, "is not a SentencePiece model", where);
    }

    std::int32_t control_id(const std::string& piece, const std::string& where) const {
        const int id = processor_.PieceToId(piece);
        if (processor_.IsUnknown(id) && piece != "<unk>") throw Error(ErrorCode::input, "has no piece \"" + piece + "\"", where);
        return id;
    }

    // T5Tokenizer.__init__: the three specials, and sentinels that eat the white space around them.
    void add_default_tokens(int extra_ids, const std::string& where) {
        for (const char* text : {"</s>", "<pad>", "<unk>"}) added_.push_back({.text = text, .id = control_id(text, where)});
        for (int i = 0; i < extra_ids; ++i)
            added_.push_back({.text = "<extra_id_" + std::to_string(i) + ">",
                              .id = processor_.GetPieceSize() - 1 + extra_ids - i,
                              .strip_left = true,
                              .strip_right = true});
    }

    [[nodiscard]] const AddedToken* added_at(std::string_view text) const {
        const auto token = std::ranges::find_if(added_, [&](const auto& t) { return text.starts_with(t.text); });
        return token == added_.end() ? nullptr : &*token;
    }

    // PreTrainedTokenizer.tokenize: splits at added tokens, then gives SentencePiece what lies between.
    [[nodiscard]] std::vector<Piece> tokenize(std::string_view text) const {
        std::vector<Piece> pieces;
        std::size_t begin = 0;  // of the text since the last added token
        const AddedToken* left = nullptr;
        for (std::size_t at = 0; at <= text.size();) {
            const AddedToken* token = at < text.size() ? added_at(text.substr(at)) : nullptr;
            if (!token && at < text.size()) {
                ++at;
                continue;
            }
            std::string_view between = text.substr(begin, at - begin);
            if (left && left->strip_right) between = strip_left(between);
            const auto offset = static_cast<std::size_t>(between.data() - text.data());
            if (token && token->strip_left) between = strip_right(between);
            append_text(between, offset, pieces, left == nullptr, token != nullptr);
            if (!token) break;
            pieces.push_back({token->id, at, at + token->text.size()});
            at += token->text.size();
            begin = at;
            left = token;
        }
        return pieces;
    }

    // offset: of `text` in the prompt; first, last_before_token: its place among the added tokens.
    void append_text(std::string_view text, std::size_t offset, std::vector<Piece>& to, bool first, bool before_token) const {
        if (legacy_) {
            if (!text.empty()) append_pieces(std::string(text), 0, 0, text.size(), offset, to);
            return;
        }
        // T5Tokenizer.tokenize and _tokenize with legacy=False: the word boundary at the start of the prompt
        // is explicit, and a leading one survives SentencePiece only behind something else.
        const std::size_t prefix = first ? word_boundary.size() : 0;
        const std::string plain = std::string(first ? word_boundary : "") + boundaries_as_spaces(text);
        if (plain.empty()) return;
        const std::size_t before = to.size();
        if (plain.starts_with(word_boundary) || plain.starts_with(' ')) {
            constexpr std::string_view unknown = "<unk>";
            append_pieces(std::string(unknown) + plain, unknown_pieces_, prefix + unknown.size(), text.size(), offset, to);
        } else {
            append_pieces(plain, 0, prefix, text.size(), offset, to);
        }
        const bool lone_boundary =
            first && before_token && to.size() == before + 1 && to.back().id == processor_.PieceToId(word_boundary);
        if (lone_boundary) to.pop_back();
    }

    // Tokenizes `input`, leaves out the first `skip` pieces. The prompt's own `length` bytes start at
    // `prefix` of `input`.
    void append_pieces(const std::string& input, std::size_t skip, std::size_t prefix, std::size_t length, std::size_t offset,
                       std::vector<Piece>& to) const {
        const auto pieces = pieces_of(input);
        for (std::size_t i = std::min(skip, pieces.size()); i < pieces.size(); ++i) {
            const auto place = [&](std::size_t at) { return offset + std::min(at > prefix ? at - prefix : 0, length); };
            to.push_back({pieces[i].id, place(pieces[i].begin), place(pieces[i].end)});
        }
    }

    [[nodiscard]] std::vector<Piece> pieces_of(const std::string& input) const {
        const auto encoded = processor_.EncodeAsImmutableProto(input);
        std::vector<Piece> pieces;
        for (const auto& piece : encoded.pieces())
            pieces.push_back({static_cast<std::int32_t>(piece.id()), piece.begin(), piece.end()});
        return pieces;
    }

    bool legacy_;
    sentencepiece::SentencePieceProcessor processor_;
    std::int32_t eos_ = 1;
    std::vector<AddedToken> added_;
    std::int64_t vocabulary_ = 0;
    std::size_t unknown_pieces_ = 0;  // how many pieces "<unk>" itself makes
};

}  // namespace

std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::string& model, const T5TokenizerOptions& options,
                                             const std::string& where) {
    return std::make_unique<T5Tokenizer>(model, options, where);
}

}  // namespace t2i
