// A line of a journal or a manifest as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace t2i::batch {

// The whole line's object, in its order; discarded where it is none, or nested so deep that writing it out again would
// take a deep stack.
[[nodiscard]] inline nlohmann::ordered_json parse_object_line(std::string_view line) {
    using Json = nlohmann::ordered_json;
    constexpr int most_deep = 128;
    bool is_deep = false;
    const auto limit = [&is_deep](int depth, Json::parse_event_t, Json&) {
        is_deep = is_deep || depth > most_deep;
        return depth <= most_deep;
    };
    Json json = Json::parse(line, limit, false);
    return json.is_object() && !is_deep ? json : Json(Json::value_t::discarded);
}

}  // namespace t2i::batch
