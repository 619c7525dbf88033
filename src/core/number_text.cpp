#include "core/number_text.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/nearest.h"

namespace t2i {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// The digits that `text` begins with, which are taken off it.
std::string_view take_digits(std::string_view& text) {
    const auto end = std::ranges::find_if_not(text, is_digit);
    const std::string_view digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    return digits;
}

// A number of hundreds of digits is no help in a message.
std::string shown(const std::string& digits) {
    constexpr std::size_t most = 40;
    return digits.size() <= most ? digits : digits.substr(0, most) + "…";
}

}  // namespace

std::string number_text(double x) {
    std::array<char, 32> buffer{};
    return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), x).ptr};
}

std::string counted(std::int64_t count, std::string_view one, std::string_view plural) {
    std::string text = std::to_string(count) + " ";
    if (count == 1) text += one;
    else if (plural.empty()) text += std::string(one) + "s";
    else text += plural;
    return text;
}

std::string hex_text(std::uint64_t value, std::size_t digits) {
    std::string text(digits, '0');
    for (std::size_t i = digits; i-- > 0; value >>= 4U) text[i] = "0123456789abcdef"[value & 15U];
    return text;
}

std::string whole_number(std::string_view text) {
    constexpr long furthest = 400;  // the point moves no further: such a number is out of every range, and stays so
    const bool is_negative = text.starts_with('-');
    if (is_negative || text.starts_with('+')) text.remove_prefix(1);
    std::string digits(take_digits(text));
    if (digits.empty()) return {};
    auto point = static_cast<long>(digits.size());  // digits before the decimal point
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        digits += take_digits(text);
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        const bool is_small = text.starts_with('-');
        if (is_small || text.starts_with('+')) text.remove_prefix(1);
        const std::string_view exponent = take_digits(text);
        if (exponent.empty()) return {};
        const long by = parse_number<long>(exponent).value_or(furthest);
        point += std::min(by, furthest) * (is_small ? -1 : 1);
    }
    if (!text.empty()) return {};
    while (!digits.empty() && digits.back() == '0' && static_cast<long>(digits.size()) > point) digits.pop_back();
    const bool is_zero = digits.find_first_not_of('0') == std::string::npos;
    if (is_zero) return "0";
    if (static_cast<long>(digits.size()) > point) return {};  // a fraction is left
    digits.append(static_cast<std::size_t>(point) - digits.size(), '0');
    digits.erase(0, digits.find_first_not_of('0'));
    return (is_negative ? "-" : "") + digits;
}

std::string read_whole(std::string_view text, std::int64_t least, std::int64_t most, std::int64_t& value) {
    const std::string digits = whole_number(text);
    if (digits.empty()) return in_quotes(text) + " is not a whole number";
    const auto number = parse_number<std::int64_t>(digits);
    if (!number || *number < least || *number > most)
        return shown(digits) + " is out of range [" + std::to_string(least) + ", " + std::to_string(most) + "]";
    value = *number;
    return {};
}

std::string read_seed(std::string_view text, Seed& seed) {
    const std::string digits = whole_number(text);
    if (digits.empty()) return in_quotes(text) + " is not a whole number";
    const bool picks = digits.starts_with('-');
    const auto value = parse_number<std::uint64_t>(digits);
    if (!picks && !value)
        return shown(digits) + " is out of range [0, " + std::to_string(std::numeric_limits<std::uint64_t>::max()) +
               "] (below 0: one is picked)";
    seed = {.value = value.value_or(0), .picks = picks};
    return {};
}

}  // namespace t2i
