// Where the pictures of one run go.
#pragma once

#include <string>
#include <vector>

namespace t2i::app {

// `pattern`: a PNG path, one with %d or %0Nd, a folder ending in '/', or "-" for standard output. One picture and a plain path:
// that path; several: name_0.png, name_1.png …; a folder: 000.png, 001.png …
// Throws Error: invalid_argument (another % conversion; several pictures where one is taken: standard output, a device, a FIFO),
// input (the folder does not exist or cannot be written).
[[nodiscard]] std::vector<std::string> output_names(const std::string& pattern, int count);

}  // namespace t2i::app
