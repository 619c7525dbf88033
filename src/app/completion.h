// Completions of the program's commands, flags and their values, as scripts for shells.
#pragma once

#include <span>
#include <string>

#include "app/flag_table.h"

namespace t2i::app {

[[nodiscard]] std::string bash_completion(std::span<const CommandRow> commands);
[[nodiscard]] std::string zsh_completion(std::span<const CommandRow> commands);
[[nodiscard]] std::string fish_completion(std::span<const CommandRow> commands);

}  // namespace t2i::app
