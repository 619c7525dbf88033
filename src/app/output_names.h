// Where the pictures of one run go.
#pragma once

#include <string>
#include <vector>

namespace t2i::app {

// `pattern`: a PNG path, one with %d or %0Nd, or a folder ending in '/'. One picture and a plain path: that path;
// several: name_0.png, name_1.png …; a folder: 000.png, 001.png …
// Throws Error: invalid_argument (another % conversion), input (the folder does not exist or cannot be written).
[[nodiscard]] std::vector<std::string> output_names(const std::string& pattern, int count);

// Finds out before the work rather than after it. Throws Error{input} when the folder that `path` is to be written to does
// not exist or cannot be written.
void check_output_folder(const std::string& path);

}  // namespace t2i::app
