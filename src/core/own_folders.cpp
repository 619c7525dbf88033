#include "core/own_folders.h"

#include <dlfcn.h>
#include <link.h>

namespace t2i {

namespace fs = std::filesystem;

std::vector<fs::path> own_folders() {
    std::vector<fs::path> folders;
    std::error_code ec;
    Dl_info info{};
    link_map* loaded = nullptr;
    // The loader knows the program itself by no name.
    if (dladdr1(reinterpret_cast<const void*>(&own_folders), &info, reinterpret_cast<void**>(&loaded), RTLD_DL_LINKMAP) != 0 &&
        loaded && loaded->l_name && *loaded->l_name)
        if (const fs::path library = fs::canonical(loaded->l_name, ec); !ec) folders.push_back(library.parent_path());
    if (const fs::path program = fs::read_symlink("/proc/self/exe", ec); !ec) folders.push_back(program.parent_path());
    return folders;
}

}  // namespace t2i
