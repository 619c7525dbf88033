// Calls a log callback wherever it may not be there and may not throw, destructors included.
#pragma once

#include <string>

#include "t2i/log.h"

namespace t2i {

inline void log_warning(const Log& log, const std::string& message) noexcept {
    if (!log) return;
    try {
        log(LogLevel::warning, message);
    } catch (...) {  // a listener's trouble is no reason to stop the work
    }
}

}  // namespace t2i
