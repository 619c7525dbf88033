#include "app/bench_support.h"

#include <unistd.h>

#include <filesystem>

#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() : path_((fs::temp_directory_path() / "t2i-bench-XXXXXX").string()) {
    if (!::mkdtemp(path_.data())) throw Error(ErrorCode::input, "cannot make a temporary folder", path_);
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

}  // namespace t2i::app
