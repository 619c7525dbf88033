#include "core/number_text.h"

#include <array>

namespace t2i {

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

}  // namespace t2i
