// What the cases' names and their counts are made of (workloads/op_cases.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

namespace t2i {

// "17x1023".
[[nodiscard]] inline std::string joined(std::initializer_list<std::int64_t> dims) {
    std::string s;
    for (const auto d : dims) {
        if (!s.empty()) s += 'x';
        s += std::to_string(d);
    }
    return s;
}
[[nodiscard]] inline double real(std::int64_t n) {
    return static_cast<double>(n);
}

}  // namespace t2i
