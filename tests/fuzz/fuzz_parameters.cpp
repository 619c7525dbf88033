// Any text is either a request or an Error{input}.
#include <cstdint>
#include <string>

#include "fuzz/fuzz_target.h"
#include "pipeline/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    t2i::fuzz::expect_input_error_or_success([&] { (void)t2i::read_parameters(text, "fuzz"); });
    return 0;
}
