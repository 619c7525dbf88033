// Checks stay on in release builds. T2I_CHECK is for a broken promise between our own functions; what a user
// can cause throws t2i::Error with a message written for them.
#pragma once

#include <stdexcept>
#include <string>

namespace t2i::detail {
[[noreturn]] inline void check_failed(const char* condition, const char* file, int line, const std::string& message) {
    throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": " + condition + ": " + message);
}
}  // namespace t2i::detail

#define T2I_CHECK(condition, message)                                                             \
    do {                                                                                          \
        if (!(condition)) ::t2i::detail::check_failed(#condition, __FILE__, __LINE__, (message)); \
    } while (false)
