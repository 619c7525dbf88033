// Small files for tests.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "support/catch.h"

namespace t2i::test {

// Writes `content` and returns the path.
inline std::string write_file(const std::string& path, std::string_view content) {
    std::ofstream out(path, std::ios::binary);
    out << content;
    REQUIRE(out.good());
    return path;
}

inline std::string file_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    INFO(path);
    REQUIRE(in.good());
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace t2i::test
