// What every fuzz target promises: success or Error{input}; anything else (another exception, a broken check,
// a signal, a sanitizer report) is a finding.
#pragma once

#include "core/check.h"
#include "t2i/error.h"

namespace t2i::fuzz {

template <typename Action>
void expect_input_error_or_success(Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        T2I_CHECK(error.code() == ErrorCode::input, error.what());
    }
}

}  // namespace t2i::fuzz
