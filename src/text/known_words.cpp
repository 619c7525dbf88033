#include "text/known_words.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_set>

#include "text/unicode.h"

namespace t2i {

namespace {

constexpr std::size_t most_nearest = 3;
constexpr std::size_t longest_compared = 24;  // characters; no word that people misspell is longer
constexpr std::size_t longest_searched = 8;   // characters of unknown Chinese in which a misspelt word is looked for
constexpr std::size_t most_joined = 4;        // English words of one entry: "ear of corn" has three

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

bool stands_in(std::string_view prompt, std::string_view word) {
    if (word.empty()) return false;
    for (auto at = prompt.find(word); at != std::string_view::npos; at = prompt.find(word, at + 1))
        if (stands_at(prompt, at, word)) return true;
    return false;
}

// Of a script that is written without spaces: Han and kana.
bool is_unspaced(char32_t c) {
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) || c == 0x3005 ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_digit(char32_t c) {
    return c >= '0' && c <= '9';
}

// A word, or a stretch of Chinese.
struct Piece {
    std::u32string text;
    bool is_unspaced = false;
    std::string joint;  // a space or a hyphen, where that is all between it and the piece before
};

std::vector<Piece> pieces_of(std::string_view prompt) {
    std::vector<Piece> pieces;
    const std::u32string text = utf32_of(prompt);
    bool inside = false;
    std::string joint;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool unspaced = is_unspaced(text[i]);
        const bool is_word = unspaced || starts_with_word(utf8_of(std::u32string_view(&text[i], 1)));
        if (!is_word) {
            joint = inside && (text[i] == ' ' || text[i] == '-') ? std::string(1, static_cast<char>(text[i])) : "";
            inside = false;
            continue;
        }
        if (!inside || pieces.back().is_unspaced != unspaced) pieces.push_back({{}, unspaced, joint});
        pieces.back().text += text[i];
        inside = true;
        joint.clear();
    }
    return pieces;
}

// How far two words are apart, twice the number of changed letters; letters that changed places, or one that should be doubled or
// not, count as half a letter: the slips of a hand. (Optimal string alignment distance with these weights.)
int distance(std::u32string_view a, std::u32string_view b) {
    const auto gap = [](std::u32string_view s, std::size_t i) { return i > 0 && s[i] == s[i - 1] ? 1 : 2; };
    std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
    for (std::size_t i = 0; i < a.size(); ++i) d[i + 1][0] = d[i][0] + gap(a, i);
    for (std::size_t j = 0; j < b.size(); ++j) d[0][j + 1] = d[0][j] + gap(b, j);
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < b.size(); ++j) {
            int& best = d[i + 1][j + 1];
            best = std::min({d[i][j] + (a[i] == b[j] ? 0 : 2), d[i][j + 1] + gap(a, i), d[i + 1][j] + gap(b, j)});
            if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] && a[i] != b[j])
                best = std::min(best, d[i - 1][j - 1] + 1);
        }
    return d[a.size()][b.size()];
}

// The largest distance at which a word is still taken for a misspelt one.
int tolerance(const std::u32string& word) {
    const std::size_t n = word.size();
    if (is_unspaced(word.front())) return n < 2 ? 0 : n < 4 ? 2 : 4;
    return n < 3 ? 0 : n == 3 ? 1 : n == 4 ? 2 : n <= 6 ? 3 : n <= 9 ? 4 : 6;
}

class Search {
  public:
    explicit Search(const LearntWords& learnt) : learnt_(learnt) {
        for (const auto* list : {&learnt.words, &learnt.names, &learnt.phrases}) known_.insert(list->begin(), list->end());
        phrases_.insert(learnt.phrases.begin(), learnt.phrases.end());
        for (const auto& [keyword, names] : learnt.keywords) keywords_.emplace(keyword, &names);
        for (const auto* list : {&learnt.words, &learnt.names})
            for (const std::string& word : *list) add_candidate(word, nullptr);
        for (const auto& [keyword, names] : learnt.keywords) add_candidate(keyword, &names);
    }

    std::vector<UnknownWord> run(std::string_view prompt) {
        const std::vector<Piece> pieces = pieces_of(prompt);
        for (std::size_t i = 0; i < pieces.size();) {
            if (pieces[i].is_unspaced) cut(pieces[i++].text);
            else i += read_words(pieces, i);
        }
        return std::move(found_);
    }

  private:
    enum class Kind : std::uint8_t { unknown, known, keyword };
    struct Segment {
        std::size_t begin, end;
        Kind kind;
    };
    struct Candidate {
        std::u32string letters;
        std::string_view word;
        const std::vector<std::string>* stands_for;  // of a keyword; else null
    };
    struct Nearest {
        int distance = 0;  // of the best
        std::vector<std::string> words;
    };

    void add_candidate(const std::string& word, const std::vector<std::string>* stands_for) {
        if (word.empty() || word.size() > 4 * longest_compared) return;
        const std::u32string letters = utf32_of(word);
        if (letters.size() > 1) candidates_.push_back({letters, word, stands_for});  // one character is no misspelt word
    }

    // As it is, or as a plural.
    template <class Set>
    [[nodiscard]] static auto look_up(const Set& set, std::string_view word) {
        auto at = set.find(word);
        for (const char* plural : {"s", "es"})
            if (at == set.end() && word.ends_with(plural))
                at = set.find(word.substr(0, word.size() - std::string_view(plural).size()));
        return at;
    }

    [[nodiscard]] Kind kind_of(std::string_view word) const {
        if (look_up(known_, word) != known_.end()) return Kind::known;
        return look_up(keywords_, word) != keywords_.end() ? Kind::keyword : Kind::unknown;
    }

    void report(std::string_view word, std::vector<std::string> nearest) {
        if (nearest.size() > most_nearest) nearest.resize(most_nearest);
        if (std::ranges::none_of(found_, [&](const UnknownWord& other) { return other.word == word; }))
            found_.push_back({std::string(word), std::move(nearest)});
    }

    void report_keyword(std::string_view word) { report(word, *look_up(keywords_, word)->second); }

    // Pieces from `at` on that make one entry, the longest; returns how many.
    std::size_t read_words(const std::vector<Piece>& pieces, std::size_t at) {
        std::vector<std::string> joined{utf8_of(pieces[at].text)};
        for (std::size_t n = at + 1;
             n < pieces.size() && n < at + most_joined && !pieces[n].joint.empty() && !pieces[n].is_unspaced; ++n)
            joined.push_back(joined.back() + pieces[n].joint + utf8_of(pieces[n].text));
        for (std::size_t n = joined.size(); n > 0; --n) {
            std::string entry = joined[n - 1];
            if (kind_of(entry) == Kind::unknown) std::ranges::replace(entry, '-', ' ');
            const Kind kind = kind_of(entry);
            if (kind == Kind::keyword) report_keyword(entry);
            if (kind != Kind::unknown) return n;
        }
        const std::u32string& word = pieces[at].text;
        if (word.size() > 2 && !std::ranges::all_of(word, is_digit)) report(joined.front(), nearest(word).words);
        return 1;
    }

    // Cuts Chinese at the longest entries.
    void cut(const std::u32string& text) {
        std::vector<Segment> segments;
        for (std::size_t at = 0; at < text.size();) {
            std::size_t size = std::min(text.size() - at, longest_compared);
            Kind kind = Kind::unknown;
            for (; size > 0 && kind == Kind::unknown; --size) kind = kind_of(utf8_of(text.substr(at, size)));
            if (kind != Kind::unknown) segments.push_back({at, at + size + 1, kind});
            else if (!segments.empty() && segments.back().kind == Kind::unknown) ++segments.back().end;
            else segments.push_back({at, at + 1, kind});
            at = segments.back().end;
        }
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const Segment& s = segments[i];
            const std::u32string word = text.substr(s.begin, s.end - s.begin);
            if (s.kind == Kind::keyword) report_keyword(utf8_of(word));
            else if (s.kind == Kind::unknown && !report_with_neighbour(text, segments, i)) report_part(word);
        }
    }

    // A known character beside what is unknown may belong to it, unless it is one of a phrase: 雄猫 is nearly 熊猫, although 猫
    // is a name.
    bool report_with_neighbour(const std::u32string& text, const std::vector<Segment>& segments, std::size_t i) {
        const Segment& unknown = segments[i];
        for (const std::size_t k : {i + 1, i - 1}) {  // below 0 wraps and is no segment
            if (k >= segments.size() || segments[k].end - segments[k].begin != 1) continue;
            if (phrases_.contains(utf8_of(text.substr(segments[k].begin, 1)))) continue;
            const std::size_t begin = std::min(unknown.begin, segments[k].begin);
            const std::u32string word = text.substr(begin, std::max(unknown.end, segments[k].end) - begin);
            Nearest near = nearest(word);
            if (near.words.empty()) continue;
            report(utf8_of(word), std::move(near.words));
            return true;
        }
        return false;
    }

    // The longest part that is spelt like a word, of equals the nearest; else the whole.
    void report_part(const std::u32string& text) {
        const std::size_t size = text.size() <= longest_searched ? text.size() : 0;
        for (std::size_t length = size; length > 1; --length) {
            std::optional<std::pair<std::u32string, Nearest>> best;
            for (std::size_t at = 0; at + length <= size; ++at) {
                Nearest near = nearest(text.substr(at, length));
                if (!near.words.empty() && (!best || near.distance < best->second.distance))
                    best.emplace(text.substr(at, length), std::move(near));
            }
            if (!best) continue;
            report(utf8_of(best->first), std::move(best->second.words));
            return;
        }
        report(utf8_of(text), {});
    }

    // In how many names a word stands: of two that are equally near, the commoner was meant.
    [[nodiscard]] std::ptrdiff_t names_with(std::string_view word) const {
        return std::ranges::count_if(learnt_.names, [&](const std::string& name) { return stands_in(name, word); });
    }

    [[nodiscard]] Nearest nearest(const std::u32string& word) const {
        const int most = tolerance(word);
        if (most == 0 || word.size() > longest_compared) return {};
        using Rank = std::tuple<int, std::ptrdiff_t, bool, std::size_t>;
        std::vector<std::pair<Rank, const Candidate*>> close;
        for (const Candidate& c : candidates_) {
            const auto longer = std::max(c.letters.size(), word.size()), shorter = std::min(c.letters.size(), word.size());
            if (static_cast<int>(longer - shorter) > most || is_unspaced(c.letters.front()) != is_unspaced(word.front()))
                continue;
            const int far = distance(word, c.letters);
            if (far > most || far >= static_cast<int>(2 * longer)) continue;
            close.emplace_back(
                Rank{far + (c.stands_for ? 1 : 0), -names_with(c.word), c.letters.front() != word.front(), c.letters.size()}, &c);
        }
        std::ranges::stable_sort(close, {}, [](const auto& entry) { return entry.first; });
        Nearest out;
        const auto add = [&](std::string_view name) {
            if (std::ranges::find(out.words, name) == out.words.end()) out.words.emplace_back(name);
        };
        for (const auto& [rank, candidate] : close) {
            if (!candidate->stands_for) add(candidate->word);
            else
                for (const std::string& name : *candidate->stands_for) add(name);
        }
        if (!close.empty()) out.distance = std::get<0>(close.front().first);
        return out;
    }

    const LearntWords& learnt_;
    std::unordered_set<std::string_view> known_, phrases_;
    std::map<std::string_view, const std::vector<std::string>*> keywords_;
    std::vector<Candidate> candidates_;
    std::vector<UnknownWord> found_;
};

}  // namespace

bool has_known_word(std::string_view prompt, const std::vector<std::string>& words) {
    return words.empty() || std::ranges::any_of(words, [&](const std::string& word) { return stands_in(prompt, word); });
}

std::vector<UnknownWord> unknown_words(std::string_view prompt, const LearntWords& learnt) {
    if (learnt.words.empty()) return {};
    return Search(learnt).run(prompt);
}

}  // namespace t2i
