// A line of a journal or a manifest as JSON.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace t2i::batch {

// Whether lists and objects stand in each other more than `most` times.
[[nodiscard]] inline bool is_nested_deeper(const nlohmann::ordered_json& json, int most) {
    if (!json.is_structured()) return false;
    return most == 0 || std::ranges::any_of(json, [most](const auto& item) { return is_nested_deeper(item, most - 1); });
}

// The whole line's object, in its order; discarded where it is none, or nested so deep that writing it out again would take a
// deep stack.
[[nodiscard]] inline nlohmann::ordered_json parse_object_line(std::string_view line) {
    using Json = nlohmann::ordered_json;
    constexpr int most_deep = 128;
    Json json = Json::parse(line, nullptr, false);
    return json.is_object() && !is_nested_deeper(json, most_deep) ? json : Json(Json::value_t::discarded);
}

}  // namespace t2i::batch
