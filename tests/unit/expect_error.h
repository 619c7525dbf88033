// Checks of t2i::Error by code and by the words its message must contain.
#pragma once

#include <string>
#include <string_view>

#include "support/catch.h"
#include "t2i/error.h"

namespace t2i::test {

// The message of the Error{code} that `action` throws. Fails the test when it throws none.
template <typename Action>
std::string message_of(ErrorCode code, Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        CHECK(error.code() == code);
        return error.what();
    }
    FAIL("no error was thrown");
    return {};
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

}  // namespace t2i::test
