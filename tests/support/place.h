// Where the tests find the program and their data: in a build folder and the source tree, or side by side in an unpacked
// archive of scripts/package.sh (bin/t2i, tests/golden, assets/).
#pragma once

#include <filesystem>

namespace t2i::test {

// The source tree, or the archive's folder when this test program stands in its tests/.
[[nodiscard]] const std::filesystem::path& source_folder();

// Where this test program and what comes with it stand.
[[nodiscard]] std::filesystem::path tests_folder();

// The t2i program that belongs to this test program.
[[nodiscard]] const std::filesystem::path& program();

}  // namespace t2i::test
