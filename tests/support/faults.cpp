#include "support/faults.h"

#include <algorithm>
#include <cstdlib>

#include "support/place.h"

namespace t2i::test {

namespace fs = std::filesystem;

Faults::Faults(const std::string& rules) {
    const fs::path library = tests_folder() / "test_faults.so";
    INFO(library);
    REQUIRE(fs::exists(library));
    const char* sanitizer = std::getenv("ASAN_OPTIONS");
    environment_ = {"LD_PRELOAD=" + library.string(), "T2I_FAULTS=" + rules, "T2I_FAULTS_LOG=" + (folder_ / "log"),
                    // The sanitizer would come first.
                    std::string("ASAN_OPTIONS=") + (sanitizer ? std::string(sanitizer) + ":" : "") + "verify_asan_link_order=0"};
}

std::size_t Faults::count() const {
    if (!fs::exists(folder_ / "log")) return 0;
    const std::string text = file_text(folder_ / "log");
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace t2i::test
