// Where this code lies on disk, for the files that come with it.
#pragma once

#include <filesystem>
#include <vector>

namespace t2i {

// The folder of the shared library that this code is in, if it is in one, then that of the program. From any thread.
[[nodiscard]] std::vector<std::filesystem::path> own_folders();

}  // namespace t2i
