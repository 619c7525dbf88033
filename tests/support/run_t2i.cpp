#include "support/run_t2i.h"

#include <csignal>

namespace t2i::test {

Outcome run_t2i(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                const std::string& folder) {
    return Process(arguments, {.input = -1, .environment = environment, .folder = folder}).wait();
}

Outcome interrupt_t2i(const std::vector<std::string>& arguments) {
    Process process(arguments);
    process.wait_until([&] { return process.standard_error().find('\n') != std::string::npos; });
    process.signal(SIGINT);
    return process.wait();
}

}  // namespace t2i::test
