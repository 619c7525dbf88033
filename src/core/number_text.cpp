#include "core/number_text.h"

#include <array>
#include <charconv>

namespace t2i {

std::string number_text(double x) {
    std::array<char, 32> buffer{};
    return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), x).ptr};
}

}  // namespace t2i
