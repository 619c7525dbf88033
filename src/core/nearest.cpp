#include "core/nearest.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "core/escape.h"

namespace t2i {

namespace {
// Longer names are not compared: distance is quadratic, and no real tensor or flag comes near.
constexpr std::size_t max_compared_bytes = 256;
constexpr std::size_t max_quoted_bytes = 160;
}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

bool equals_without_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates, std::size_t count) {
    if (name.size() > max_compared_bytes) return {};
    const std::size_t too_far = name.size() / 2 + 1;
    std::vector<std::pair<std::size_t, const std::string*>> found;
    for (const std::string& candidate : candidates) {
        const std::size_t gap = std::max(candidate.size(), name.size()) - std::min(candidate.size(), name.size());
        if (candidate.size() > max_compared_bytes || gap >= too_far) continue;
        const std::size_t distance = edit_distance(name, candidate);
        if (distance < too_far) found.emplace_back(distance, &candidate);
    }
    std::ranges::stable_sort(found, {}, [](const auto& entry) { return entry.first; });
    std::vector<std::string> names;
    for (const auto& [distance, candidate] : found)
        if (names.size() < count) names.push_back(*candidate);
    return names;
}

std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
    const auto names = nearest_names(name, candidates, 1);
    return names.empty() ? std::string() : names.front();
}

std::string shortened(std::string_view text, std::size_t limit) {
    if (text.size() <= limit) return std::string(text);
    const auto is_inside = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U; };
    std::size_t head = limit / 2, tail = text.size() - limit / 2;
    while (head > 0 && is_inside(head)) --head;
    while (tail < text.size() && is_inside(tail)) ++tail;
    return std::string(text.substr(0, head)) + "…" + std::string(text.substr(tail));
}

std::string in_quotes(std::string_view name) {
    if (name.size() <= max_quoted_bytes) return "\"" + escaped(name) + "\"";
    const auto is_inside = [&](std::size_t at) { return (static_cast<unsigned char>(name[at]) & 0xC0U) == 0x80U; };
    std::size_t head = max_quoted_bytes / 2, tail = name.size() - max_quoted_bytes / 2;
    while (head > 0 && is_inside(head)) --head;
    while (tail < name.size() && is_inside(tail)) ++tail;
    return "\"" + escaped(name.substr(0, head)) + "…" + escaped(name.substr(tail)) + "\"";
}

}  // namespace t2i
