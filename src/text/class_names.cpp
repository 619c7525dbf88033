#include "text/class_names.h"

#include <algorithm>

#include "core/check.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {
namespace {

constexpr std::size_t most_suggestions = 3;

}  // namespace

ClassNames::ClassNames(std::span<const ClassLabel> labels, std::int64_t classes) : classes_(classes) {
    const auto add = [&](std::string_view name, std::int32_t id) {
        name = strip_left(strip_right(name));
        if (name.empty()) return;
        exact_[std::string(name)] = id;
        std::string lower = lower_and_strip(name);
        const bool is_new = !lower_.contains(lower);
        lower_[lower] = id;
        if (is_new) suggested_.push_back(std::move(lower));
    };
    for (const auto& [id, names] : labels) {
        T2I_CHECK(id >= 0 && id < classes, "class " + std::to_string(id) + " of " + std::to_string(classes));
        std::string_view rest = names;
        while (!rest.empty()) {
            const auto comma = std::min(rest.find(','), rest.size());
            add(rest.substr(0, comma), static_cast<std::int32_t>(id));
            rest.remove_prefix(std::min(comma + 1, rest.size()));
        }
        if (names.find(',') == std::string::npos) continue;
        const std::string whole(strip_left(strip_right(names)));
        exact_.try_emplace(whole, static_cast<std::int32_t>(id));
        lower_.try_emplace(lower_and_strip(whole), static_cast<std::int32_t>(id));
    }
}

std::int32_t ClassNames::find(std::string_view utf8, const Field& field) const {
    const std::string_view name = strip_left(strip_right(utf8));
    if (name.empty()) return static_cast<std::int32_t>(classes_);
    if (const auto known = exact_.find(name); known != exact_.end()) return known->second;
    const std::string lower = lower_and_strip(name);
    if (const auto known = lower_.find(lower); known != lower_.end()) return known->second;

    if (const std::string digits = whole_number(name); !digits.empty()) {
        const auto number = parse_number<std::int64_t>(digits);
        if (number && *number >= 0 && *number <= classes_) return static_cast<std::int32_t>(*number);
        throw Error(ErrorCode::invalid_argument,
                    "class " + std::string(name) + " is out of range [0, " + std::to_string(classes_) + "]", field);
    }
    throw Error(ErrorCode::invalid_argument, "no class " + in_quotes(name) + suggestion(lower), field);
}

// Names that hold what was asked for, the shortest first ("retriever"), then those that are spelt like it.
std::string ClassNames::suggestion(const std::string& lower) const {
    const std::string numbers = "a number in [0, " + std::to_string(classes_) + "]";
    std::vector<std::string> names;
    for (const auto& known : suggested_)
        if (known.find(lower) != std::string::npos) names.push_back(known);
    std::ranges::stable_sort(names, {}, &std::string::size);
    for (auto& near : nearest_names(lower, suggested_, most_suggestions))
        if (std::ranges::find(names, near) == names.end()) names.push_back(std::move(near));
    if (names.empty())
        return exact_.empty() ? "; this model's classes have no names, give " + numbers
                              : "; no name is like it, " + numbers + " works too";
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most_suggestions); ++i)
        text += (i == 0 ? "; nearest: " : ", ") + in_quotes(names[i]);
    return text;
}

}  // namespace t2i
