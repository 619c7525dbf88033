// A whole pipeline folder with small random weights (64x64 pictures), one for all end-to-end tests.
#pragma once

#include <filesystem>

#include "support/fixture.h"

namespace t2i::test {

// Made at the first call, removed when the process ends.
[[nodiscard]] const std::filesystem::path& tiny_model();

// The same of a class-conditional one.
[[nodiscard]] const std::filesystem::path& tiny_class_model();

// A copy of tiny_model() that a test may damage.
void copy_tiny_model(const std::filesystem::path& to);

}  // namespace t2i::test
