// Suggestions for names that were almost right: flags, samplers, tensors, classes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// Levenshtein distance: the fewest insertions, deletions and substitutions of bytes that turn a into b.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest edit distance to `name` (the first of equals), or "" when there is none
// that shares at least half of its bytes.
[[nodiscard]] std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

// Up to `count` of them, the nearest first.
[[nodiscard]] std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                                     std::size_t count);

// Capitals and small letters of ASCII count as the same.
[[nodiscard]] bool equals_without_case(std::string_view a, std::string_view b);

// The text, or where it has more than `limit` bytes its start and its end with "…" between them, cut between characters of UTF-8.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t limit);

// Quotes a name that came from a file: control characters are escaped, and the middle of a very long one becomes "…", so that a
// message stays one readable line.
[[nodiscard]] std::string in_quotes(std::string_view name);

}  // namespace t2i
