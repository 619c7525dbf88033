#include "text/fast_tokenizer.h"

#include <algorithm>

#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

namespace {

template <typename... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;  // clang before 17 does not find it by itself

AlignedText stripped(const AlignedText& text, const Strip& strip) {
    std::string_view rest = text.text;
    if (strip.right) rest = strip_white_space_right(rest);
    const std::size_t end = rest.size();
    const std::size_t begin = strip.left ? end - strip_white_space_left(rest).size() : 0;
    return text.slice(begin, end);
}

// Of one text: what no tokenizer makes of any that is taken.
constexpr std::size_t most_normalized_bytes = std::size_t{64} << 20U;

void check_size(const AlignedText& text) {
    if (text.text.size() > most_normalized_bytes)
        throw Error(ErrorCode::input, "a step of the tokenizer makes too much of a text");
}

AlignedText replaced(const AlignedText& text, const Replace& replace) {
    AlignedText out;
    const std::string_view all = text.text;
    for (std::size_t at = 0; at < all.size();) {
        std::size_t end = at, count = 0;
        const std::size_t most = replace.least == 0 ? 1 : all.size();
        while (count < most && all.substr(end).starts_with(replace.pattern)) end += replace.pattern.size(), ++count;
        if (count > 0 && count >= replace.least) {
            out.append(replace.content, text.origin[at]);
            check_size(out);
            at = end;
        } else {
            end = count > 0 ? end : next_character(all, at);
            out.append(text.slice(at, end));
            at = end;
        }
    }
    return out;
}

AlignedText prepended(const AlignedText& text, const std::string& prefix) {
    AlignedText out;
    if (text.text.empty()) return out;
    out.append(prefix, text.origin.front());
    out.append(text);
    check_size(out);
    return out;
}

AlignedText normalize(AlignedText text, const std::vector<Normalizer>& normalizers) {
    for (const Normalizer& normalizer : normalizers)
        text = std::visit(Overloaded{
                              [&](const std::shared_ptr<const Charsmap>& map) { return map->normalize(text); },
                              [&](const Strip& strip) { return stripped(text, strip); },
                              [&](const Replace& replace) { return replaced(text, replace); },
                              [&](const Prepend& prepend) { return prepended(text, prepend.text); },
                          },
                          normalizer);
    return text;
}

using Words = std::vector<AlignedText>;

void pre_tokenize(const AlignedText& text, const WhitespaceSplit&, Words& to) {
    const std::string_view all = text.text;
    for (std::size_t at = 0, begin = 0; at <= all.size();) {
        const bool is_end = at == all.size();
        const std::size_t next = is_end ? at + 1 : next_character(all, at);
        if (is_end || strip_white_space_left(all.substr(at, next - at)).empty()) {
            if (begin < at) to.push_back(text.slice(begin, at));
            begin = next;
        }
        at = next;
    }
}

void pre_tokenize(const AlignedText& text, const Metaspace& metaspace, Words& to) {
    AlignedText all = replaced(text, {.pattern = " ", .content = metaspace.replacement});
    const bool adds = metaspace.scheme == Metaspace::Scheme::always ||
                      (metaspace.scheme == Metaspace::Scheme::first && !all.origin.empty() && all.origin.front() == 0);
    if (adds && !all.text.starts_with(metaspace.replacement)) all = prepended(all, metaspace.replacement);
    if (!metaspace.split) {
        to.push_back(std::move(all));
        return;
    }
    // Every replacement begins a word.
    for (std::size_t begin = 0; begin < all.text.size();) {
        const std::size_t end = std::min(all.text.find(metaspace.replacement, begin + 1), all.text.size());
        to.push_back(all.slice(begin, end));
        begin = end;
    }
}

class FastTokenizer final : public Tokenizer {
  public:
    explicit FastTokenizer(FastParts parts)
        : model_(std::move(parts.vocabulary), parts.unknown, parts.byte_fallback, parts.where),
          normalizers_(std::move(parts.normalizers)),
          pre_tokenizers_(std::move(parts.pre_tokenizers)),
          before_(std::move(parts.before)),
          after_(std::move(parts.after)),
          raw_({}, {}, false),
          normalized_({}, {}, false) {
        AddedTokens added;
        for (AddedToken& token : parts.added) {
            const std::int32_t piece = model_.find(token.text);
            added.add(std::move(token), piece, model_.size());
        }
        raw_ = splitter(added, false, parts.splits_special);
        normalized_ = splitter(added, true, parts.splits_special);
    }

    [[nodiscard]] Tokens encode(std::string_view utf8, std::int64_t max_tokens) const override {
        std::vector<PlacedToken> tokens;
        for (const std::int32_t id : before_) tokens.push_back({id, 0, 0});
        const AlignedText text(utf8);
        for (const auto& part : raw_.split(utf8)) {
            if (part.id) tokens.push_back({*part.id, part.begin, part.end});
            else append_text(normalize(text.slice(part.begin, part.end), normalizers_), tokens, utf8);
        }
        const auto ends = static_cast<std::int64_t>(after_.size());
        Tokens out = first_tokens(tokens, static_cast<std::size_t>(std::max<std::int64_t>(max_tokens - ends, 0)), utf8);
        for (const std::int32_t id : after_) out.append({id, 0, 0});
        return out;
    }

  private:
    [[nodiscard]] TokenSplitter splitter(const AddedTokens& added, bool normalized, bool splits_special) const {
        std::vector<AddedToken> tokens;
        std::vector<std::string> patterns;
        for (const AddedToken& token : added.all()) {
            if (token.normalized != normalized) continue;
            tokens.push_back(token);
            patterns.push_back(normalized ? normalize(AlignedText(token.text), normalizers_).text : token.text);
        }
        return {std::move(tokens), patterns, splits_special};
    }

    void append_text(const AlignedText& text, std::vector<PlacedToken>& to, std::string_view prompt) const {
        for (const auto& part : normalized_.split(text.text)) {
            if (part.id) to.push_back(placed(*part.id, text, part.begin, part.end, prompt));
            else append_words(text.slice(part.begin, part.end), to, prompt);
        }
    }

    void append_words(AlignedText text, std::vector<PlacedToken>& to, std::string_view prompt) const {
        Words words;
        words.push_back(std::move(text));
        for (const PreTokenizer& step : pre_tokenizers_) {
            Words split;
            for (const AlignedText& word : words) std::visit([&](const auto& kind) { pre_tokenize(word, kind, split); }, step);
            words = std::move(split);
        }
        std::vector<Unigram::Piece> pieces;
        for (const AlignedText& word : words) {
            pieces.clear();
            model_.encode(word.text, pieces);
            for (const auto& piece : pieces) to.push_back(placed(piece.id, word, piece.begin, piece.end, prompt));
        }
    }

    static PlacedToken placed(std::int32_t id, const AlignedText& text, std::size_t begin, std::size_t end,
                              std::string_view prompt) {
        if (begin == end) return {id, 0, 0};
        return {id, text.origin[begin], next_character(prompt, text.origin[end - 1])};
    }

    Unigram model_;
    std::vector<Normalizer> normalizers_;
    std::vector<PreTokenizer> pre_tokenizers_;
    std::vector<std::int32_t> before_, after_;
    TokenSplitter raw_, normalized_;  // tokens that are looked for before and after normalisation
};

}  // namespace

std::unique_ptr<Tokenizer> make_fast_tokenizer(FastParts parts) {
    return std::make_unique<FastTokenizer>(std::move(parts));
}

}  // namespace t2i
