// Numbers as people write them, the same in every locale.
#pragma once

#include <charconv>
#include <concepts>
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

// The same of a whole number in another base, from 2 to 36.
template <std::integral T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text, int base) {
    T value{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// A whole decimal number as people and their tables write it, as plain digits: "42" of "42", "042", "42.0" (a spreadsheet,
// pandas), "4.2e1" (JSON, R), with "-" before a negative one. Empty when the text is no whole number. The value is exact at any
// size.
[[nodiscard]] std::string whole_number(std::string_view text);

// Reads a whole number, written as above, of [least, most] into `value`. Returns what is wrong with the text, in a few words that
// a field's or flag's name can stand before: "\"x\" is not a whole number", "0 is out of range [1, 1000]"; empty: nothing.
[[nodiscard]] std::string read_whole(std::string_view text, std::int64_t least, std::int64_t most, std::int64_t& value);

// A seed: a number below 2^64; any whole number below 0 asks for one to be picked.
struct Seed {
    std::uint64_t value = 0;
    bool picks = false;
};
// As read_whole().
[[nodiscard]] std::string read_seed(std::string_view text, Seed& seed);

}  // namespace t2i
