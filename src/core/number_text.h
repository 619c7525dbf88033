// Numbers as people write them, the same in every locale.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace t2i {

// Shortest decimal that reads back as the same double: "4", "2.5".
[[nodiscard]] std::string number_text(double x);

// "1 picture", "2 pictures"; plural: where it is not the word with an s.
[[nodiscard]] std::string counted(std::int64_t count, std::string_view one, std::string_view plural = {});

// Lower-case hexadecimal digits, with zeros before: 255 in 4 digits is "00ff". At most 16; the last ones of a longer number.
[[nodiscard]] std::string hex_text(std::uint64_t value, std::size_t digits = 16);

// The number that a text is, all of it, with "-" as the only sign and no blanks. Nothing when it is none, or out of T's range.
template <typename T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace t2i
