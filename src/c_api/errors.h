// From exceptions to what a C program gets.
#pragma once

#include <string>

#include "t2i/error.h"
#include "t2i/t2i.h"

struct t2i_error {
    t2i_category category;
    std::string field, file, message, text;
};

namespace t2i::c_api {

// Hands the exception that is being handled to `error` unless that is null. Out of memory there, it stays null.
t2i_category caught(t2i_error** error) noexcept;

// Runs `action` and turns what it throws into a category and an error.
template <typename Action>
t2i_category guarded(t2i_error** error, Action&& action) noexcept {
    if (error) *error = nullptr;
    try {
        action();
        return T2I_OK;
    } catch (...) {
        return caught(error);
    }
}

// Throws Error{invalid_argument} where an argument that must be there is null.
void check_given(const void* pointer, const char* argument);

}  // namespace t2i::c_api
