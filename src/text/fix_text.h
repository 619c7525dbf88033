// Text that programs have spoilt on its way.
#pragma once

#include <string>
#include <string_view>

namespace t2i {

// ftfy.fix_text of ftfy 6.3 with its defaults, but for one of its fixes, fix_encoding: text that was decoded by the wrong
// encoding ("Ã©" for "é") stays as it is. The others are all here: references of HTML, C1 controls, Latin ligatures, widths,
// quotation marks, line breaks, surrogates, colours of a terminal, control characters, composition (NFC).
[[nodiscard]] std::u32string fix_text(std::u32string_view text);

}  // namespace t2i
