#include "backend/cuda_support/architectures.h"

#include <cctype>

namespace t2i {

namespace {

// "90a", "120" → code; major 0 when it is no architecture.
GpuCode parse_one(std::string_view text) {
    GpuCode code;
    if (!text.empty() && (text.back() == 'a' || text.back() == 'f')) {
        code.suffix = text.back();
        text.remove_suffix(1);
    }
    if (text.size() < 2 || text.size() > 3) return {};
    int number = 0;
    for (const char c : text) {
        if (!std::isdigit(static_cast<unsigned char>(c))) return {};
        number = 10 * number + (c - '0');
    }
    code.major = number / 10;
    code.minor = number % 10;
    return code;
}

// CUDA C++ Programming Guide, "Application compatibility": machine code runs on its own and later minor versions of its
// major version, PTX on every later version; architecture-specific code (90a) on that version alone, family code (100f)
// on later minors of its major version.
bool runs_on(const GpuCode& code, int major, int minor) {
    if (code.suffix == 'a') return code.major == major && code.minor == minor;
    if (!code.is_ptx || code.suffix == 'f') return code.major == major && code.minor <= minor;
    return code.major < major || (code.major == major && code.minor <= minor);
}

// Machine code first, then what was made for the newer GPU, then what uses more of it.
bool is_better(const GpuCode& a, const GpuCode& b) {
    if (a.is_ptx != b.is_ptx) return b.is_ptx;
    if (a.major != b.major) return a.major > b.major;
    if (a.minor != b.minor) return a.minor > b.minor;
    return a.suffix == 'a' && b.suffix != 'a';
}

}  // namespace

std::vector<GpuCode> parse_gpu_code(std::string_view architectures) {
    std::vector<GpuCode> codes;
    while (!architectures.empty()) {
        const auto end = architectures.find_first_of(";,");
        std::string_view item = architectures.substr(0, end);
        architectures = end == std::string_view::npos ? std::string_view() : architectures.substr(end + 1);
        const bool only_real = item.ends_with("-real"), only_virtual = item.ends_with("-virtual");
        item = item.substr(0, item.find('-'));
        GpuCode code = parse_one(item);
        if (code.major == 0) continue;
        if (!only_virtual) codes.push_back(code);
        code.is_ptx = true;
        if (!only_real) codes.push_back(code);
    }
    return codes;
}

std::string name_of(const GpuCode& code) {
    return (code.is_ptx ? "PTX compute_" : "sm_") + std::to_string(10 * code.major + code.minor) +
           (code.suffix ? std::string(1, code.suffix) : "");
}

std::string names_of(const std::vector<GpuCode>& codes) {
    std::string text;
    for (const auto& code : codes) text += (text.empty() ? "" : ", ") + name_of(code);
    return text;
}

const GpuCode* code_for(const std::vector<GpuCode>& codes, int major, int minor) {
    const GpuCode* best = nullptr;
    for (const auto& code : codes)
        if (runs_on(code, major, minor) && (!best || is_better(code, *best))) best = &code;
    return best;
}

}  // namespace t2i
