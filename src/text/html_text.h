// The text of a caption that holds HTML.
#pragma once

#include <string>
#include <string_view>

namespace t2i {

// BeautifulSoup(html, "html.parser").text, of Beautiful Soup 4.15 on the html.parser of Python 3.11: what no tag, comment or
// declaration is, without scripts, styles, templates and readings of ruby; white space alone between two tags becomes one blank
// or line break. References are characters. Takes every text but one: throws Error{input} about a marked section ("<![") of no
// known kind, which that parser rejects.
[[nodiscard]] std::u32string html_text(std::u32string_view html);

}  // namespace t2i
