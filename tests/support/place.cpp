#include "support/place.h"

namespace t2i::test {

namespace fs = std::filesystem;

namespace {

fs::path own_folder() {
    return fs::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace

const fs::path& source_folder() {
    static const fs::path folder = fs::exists(own_folder() / "golden") ? own_folder().parent_path() : fs::path(T2I_SOURCE_DIR);
    return folder;
}

const fs::path& program() {
    static const fs::path path =
        fs::exists(own_folder() / "t2i") ? own_folder() / "t2i" : own_folder().parent_path() / "bin" / "t2i";
    return path;
}

}  // namespace t2i::test
