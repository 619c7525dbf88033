// The words that a model has learnt, to tell a user early that a prompt has none of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// Whether any of `words` (lower case, UTF-8) stands in `prompt` (lower case, UTF-8). A word that begins or ends with an ASCII
// letter or digit must not go on there, apart from a plural's s or es; Chinese has no spaces, so its words may stand anywhere.
// True when `words` is empty: nothing is known about the model then.
[[nodiscard]] bool has_known_word(std::string_view prompt, const std::vector<std::string>& words);

}  // namespace t2i
