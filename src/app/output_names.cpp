#include "app/output_names.h"

#include <cctype>
#include <filesystem>

#include "app/standard_streams.h"
#include "core/files.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

std::string padded(int value, std::size_t width) {
    std::string digits = std::to_string(value);
    return digits.size() >= width ? digits : std::string(width - digits.size(), '0') + digits;
}

// What takes the bytes of one picture: standard output, a device, a FIFO.
bool is_a_stream(const std::string& path) {
    std::error_code ec;
    return own_descriptor(path) || (fs::exists(path, ec) && !fs::is_regular_file(path, ec) && !fs::is_directory(path, ec));
}

// A pattern's only conversion: its place, length, and the width of the number (%d: 0, %03d: 3).
struct Conversion {
    std::size_t at, length, width;
};

Conversion find_conversion(const std::string& pattern) {
    const auto at = pattern.find('%');
    std::size_t i = at + 1, width = 0;
    while (i < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[i])) && width < 10)
        width = width * 10 + static_cast<std::size_t>(pattern[i++] - '0');
    if (i >= pattern.size() || pattern[i] != 'd' || width > 9 || pattern.find('%', i) != std::string::npos)
        throw Error(ErrorCode::invalid_argument, "only one %d or %0Nd may stand in a file name: \"" + pattern + "\"", "--output");
    return {at, i + 1 - at, width};
}

}  // namespace

std::vector<std::string> output_names(const std::string& flag, int count) {
    if (flag.empty()) throw Error(ErrorCode::invalid_argument, "the name is empty", "--output");
    const std::string pattern = output_path(flag);
    std::vector<std::string> names;
    if (is_a_stream(pattern)) {
        if (count > 1)
            throw Error(ErrorCode::invalid_argument, flag + " takes one picture, not " + std::to_string(count), "--output");
        if (is_standard_output(pattern)) refuse_terminal("--output", "a picture");
        names.push_back(pattern);
    } else if (pattern.back() == '/') {
        for (int i = 0; i < count; ++i) names.push_back(pattern + padded(i, 3) + ".png");
    } else if (pattern.find('%') != std::string::npos) {
        const auto c = find_conversion(pattern);
        for (int i = 0; i < count; ++i)
            names.push_back(pattern.substr(0, c.at) + padded(i, c.width) + pattern.substr(c.at + c.length));
    } else if (count == 1) {
        if (std::error_code ec; fs::is_directory(pattern, ec))
            throw Error(ErrorCode::invalid_argument, "is a folder; end it in '/' to put pictures into it", pattern);
        names.push_back(pattern);
    } else {
        const fs::path p(pattern);
        for (int i = 0; i < count; ++i)
            names.push_back((p.parent_path() / (p.stem().string() + "_" + std::to_string(i) + p.extension().string())).string());
    }
    check_can_be_written(names.front());
    return names;
}

}  // namespace t2i::app
