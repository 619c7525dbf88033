#include "e2e/tiny_model.h"

namespace t2i::test {

namespace fs = std::filesystem;

const fs::path& tiny_model() {
    static const TempFolder holder;
    static const fs::path path = [] {
        const fs::path folder = holder.path() / "tiny-64";
        write_pipeline(read_manifest("pipeline")["cases"].front()["pipeline"], folder);
        return folder;
    }();
    return path;
}

void copy_tiny_model(const fs::path& to) {
    fs::copy(tiny_model(), to, fs::copy_options::recursive);
}

}  // namespace t2i::test
