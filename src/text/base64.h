// Base64 (RFC 4648, section 4), as JSON holds bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace t2i {

// Nothing where the text is not base64 with all its padding.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace t2i
