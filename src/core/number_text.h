// Numbers as people write them, the same in every locale.
#pragma once

#include <string>

namespace t2i {

// Shortest decimal that reads back as the same double: "4", "2.5".
[[nodiscard]] std::string number_text(double x);

}  // namespace t2i
