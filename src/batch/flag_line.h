// A line of a .txt: a prompt, or AUTOMATIC1111's flags.
#pragma once

#include <string_view>

#include "batch/request_fields.h"

namespace t2i::batch {

// A prompt, whatever stands in it; flags when a word begins with "--" and a letter. passed_over: see RequestBuilder; may be null.
// Throws Error{input}.
[[nodiscard]] RequestLine parse_text_line(std::string_view line, PassedOver* passed_over = nullptr);

}  // namespace t2i::batch
