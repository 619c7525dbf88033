// Which pictures a command is asked about.
#pragma once

#include <string>
#include <vector>

namespace t2i::app {

// The path itself, or of a folder all pictures in it and below, sorted, except in what begins with a dot. Throws Error{input}: a
// folder that holds none or cannot be read.
[[nodiscard]] std::vector<std::string> picture_paths(const std::string& file_or_folder);

}  // namespace t2i::app
