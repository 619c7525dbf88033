// Folders that a run writes into.
#pragma once

#include <string>

namespace t2i {

// Throws Error{input}, naming what is in the way, unless `path` is a folder that can be written or one that make_folder() could
// make: no folder above it, a file or a link to nothing of its name, no right to write. Touches nothing.
void check_folder(const std::string& path);

// Makes the folder where there is none, but none above it. Throws as check_folder(), and what the system says. From any thread.
void make_folder(const std::string& path);

}  // namespace t2i
