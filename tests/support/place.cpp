#include "support/place.h"

namespace t2i::test {

namespace fs = std::filesystem;

fs::path tests_folder() {
    return fs::read_symlink("/proc/self/exe").parent_path();
}

const fs::path& source_folder() {
    static const fs::path folder =
        fs::exists(tests_folder() / "golden") ? tests_folder().parent_path() : fs::path(T2I_SOURCE_DIR);
    return folder;
}

const fs::path& program() {
    static const fs::path path =
        fs::exists(tests_folder() / "t2i") ? tests_folder() / "t2i" : tests_folder().parent_path() / "bin" / "t2i";
    return path;
}

}  // namespace t2i::test
