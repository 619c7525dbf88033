// What the library has to say besides errors: it prints nothing itself.
#pragma once

#include <functional>
#include <string>

namespace t2i {

enum class LogLevel {
    warning = 1,  // something went wrong, and the work goes on
};

// `message` is one line without a line break. Called from the thread that uses or destroys the pipeline and from its own, maybe
// at the same time; what it throws is dropped. Empty: nobody listens.
using Log = std::function<void(LogLevel level, const std::string& message)>;

}  // namespace t2i
