// The manual page.
#pragma once

#include <span>
#include <string>

#include "app/flag_table.h"

namespace t2i::app {

// t2i(1) for man(7): groff and mandoc.
[[nodiscard]] std::string manual_page(std::span<const CommandRow> commands);

}  // namespace t2i::app
