#include "models/name_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

struct Match {
    std::vector<std::int64_t> numbers{};  // of each #
    std::string rest{};                   // of *
};

std::optional<Match> match(std::string_view pattern, std::string_view name) {
    Match found;
    if (pattern.starts_with('*')) return name.ends_with(pattern.substr(1)) ? std::optional(std::move(found)) : std::nullopt;
    std::size_t at = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '*') {
            found.rest = name.substr(at);
            return found;
        }
        if (pattern[i] != '#') {
            if (at >= name.size() || name[at++] != pattern[i]) return std::nullopt;
            continue;
        }
        constexpr std::size_t most_digits = 6;  // no model has a million blocks
        const std::size_t begin = at;
        std::int64_t number = 0;
        while (at < name.size() && at - begin < most_digits && name[at] >= '0' && name[at] <= '9')
            number = number * 10 + (name[at++] - '0');
        if (at == begin) return std::nullopt;
        found.numbers.push_back(number);
    }
    return at == name.size() ? std::optional(std::move(found)) : std::nullopt;
}

std::string filled(std::string_view pattern, const Match& match, const NameCounts& counts, std::int64_t block) {
    std::string name;
    std::size_t next = 0;
    for (const char c : pattern) {
        if (c == '#') name += std::to_string(match.numbers[next++]);
        else if (c == '~') name += std::to_string(counts.levels - 1 - match.numbers[next++]);
        else if (c == '@') name += std::to_string(block);
        else if (c == '*') name += match.rest;
        else name += c;
    }
    return name;
}

RenamedTensor row_of(const NameRule& rule, const CheckpointReader::Entry& entry) {
    RenamedTensor row{.name = {}, .source = entry.name};
    if (rule.parts > 1) {
        if (entry.shape.rank() == 0 || entry.shape[0] % rule.parts != 0)
            throw Error(ErrorCode::input,
                        "tensor " + in_quotes(entry.name) + ": shape " + entry.shape.text() + " does not divide into " +
                            std::to_string(rule.parts) + " parts",
                        entry.file);
        row.rows = entry.shape[0] / rule.parts;
        row.first_row = rule.part * row.rows;
    }
    if (rule.as_matrix && entry.shape.rank() > 2 && entry.shape[0] > 0)
        row.shape = Shape{entry.shape[0], entry.shape.elements() / entry.shape[0]};
    return row;
}

// The tensor that multiplies a weight; empty: none does.
std::string scale_of(const CheckpointReader& reader, const std::string& weight) {
    constexpr std::string_view ending = ".weight";
    if (!weight.ends_with(ending)) return {};
    const std::string module = weight.substr(0, weight.size() - ending.size());
    for (const char* scale : {".scale_weight", ".weight_scale"})
        if (find_entry(reader, module + scale)) return module + scale;
    return {};
}

}  // namespace

std::vector<RenamedTensor> apply_rules(std::span<const NameRule> rules, const CheckpointReader& reader, const std::string& prefix,
                                       const NameCounts& counts) {
    std::vector<RenamedTensor> table;
    for (const auto& entry : reader.entries()) {
        if (!entry.name.starts_with(prefix)) continue;
        const std::string name = entry.name.substr(prefix.size());
        const std::string scale = scale_of(reader, entry.name);
        const auto is_left_out = [&](const NameRule& rule) { return !rule.name && match(rule.source, name); };
        if (std::ranges::any_of(rules, is_left_out)) continue;
        bool is_known = false;
        const auto add = [&](RenamedTensor row) {
            row.scale = scale;
            table.push_back(std::move(row));
        };
        for (const NameRule& rule : rules) {
            const auto found = match(rule.source, name);
            if (!found) continue;
            is_known = true;
            RenamedTensor row = row_of(rule, entry);
            const bool is_copied = std::string_view(rule.name).find('@') != std::string_view::npos;
            for (std::int64_t block = 0; block < (is_copied ? counts.blocks : 1); ++block) {
                row.name = filled(rule.name, *found, counts, block);
                add(row);
            }
        }
        if (!is_known) add({.name = name, .source = entry.name});
    }
    return table;
}

std::string name_of_source(std::span<const NameRule> rules, const std::string& name) {
    for (const NameRule& rule : rules)
        if (const auto found = rule.name ? match(rule.name, name) : std::nullopt) return filled(rule.source, *found, {}, 0);
    return {};
}

}  // namespace t2i
