// Text from files on its way to a terminal or a log.
#pragma once

#include <string>
#include <string_view>

namespace t2i {

enum class Lines {
    one,   // line breaks and tabs are escaped, too
    many,  // they stay
};

// The text with what a terminal would obey instead of showing it written out: control characters (C0, DEL, C1) and those that
// turn the direction of writing around as \x1b, \u009b, \u202e, and bytes that are no UTF-8 as \xff. Everything else, backslashes
// included, stays as it is: what was escaped once stays the same.
[[nodiscard]] std::string escaped(std::string_view text, Lines lines = Lines::one);

// Whether all of it is UTF-8: no overlong forms, no surrogates.
[[nodiscard]] bool is_utf8(std::string_view text);

// JSON, which is valid already: what a terminal would obey of what JSON takes as it is (DEL, C1, directions) becomes \u….
[[nodiscard]] std::string escaped_json(std::string_view json);

}  // namespace t2i
