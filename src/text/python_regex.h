// Python's re on text: patterns mean here what they mean there, whatever version of PCRE2 runs them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// A pattern of Python's `re` for str, compiled once. Characters are code points, and code points of surrogates may be among them,
// as in Python. \w, \d, \s, \b and their opposites are Python's, which knows all of Unicode; within brackets \w, \d and \s alone
// are known. Constant once made, so from any thread.
class PythonRegex {
  public:
    // pattern: UTF-8, one that is right: a wrong one is our own fault.
    explicit PythonRegex(std::string_view pattern);

    // [begin, end) in code points of the whole match and of each group; npos, npos: the group took no part.
    struct Span {
        std::size_t begin = std::u32string_view::npos, end = std::u32string_view::npos;
        // Empty of a group that took no part.
        [[nodiscard]] std::u32string_view of(std::u32string_view text) const {
            return begin > text.size() ? std::u32string_view() : text.substr(begin, end - begin);
        }
    };
    using Match = std::vector<Span>;

    // Pattern.search and Pattern.match at `from`. All of these throw Error{input} about a text on which the pattern takes longer
    // than anybody would wait.
    [[nodiscard]] std::optional<Match> search(std::u32string_view text, std::size_t from = 0) const;
    [[nodiscard]] std::optional<Match> match(std::u32string_view text, std::size_t from = 0) const;
    // Pattern.sub: every match becomes `with`, a plain text.
    [[nodiscard]] std::u32string sub(std::u32string_view text, std::u32string_view with) const;
    // Pattern.sub with r"\1" and a plain text behind it.
    [[nodiscard]] std::u32string sub_group(std::u32string_view text, std::u32string_view behind) const;

  private:
    [[nodiscard]] std::optional<Match> run(std::u32string_view text, std::size_t from, bool anchored) const;
    [[nodiscard]] std::u32string replace(std::u32string_view text, std::u32string_view with, bool keeps_group) const;

    std::shared_ptr<const void> code_;
};

}  // namespace t2i
