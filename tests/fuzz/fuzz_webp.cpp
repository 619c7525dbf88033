// Any bytes are either a WebP whose parameters and pixels can be read or an Error{input}.
#include <cstdint>

#include "fuzz/fuzz_target.h"
#include "pipeline/webp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] { (void)t2i::read_webp_info({data, size}, "fuzz"); });
    t2i::fuzz::expect_input_error_or_success([&] { (void)t2i::decode_webp({data, size}, "fuzz"); });
    return 0;
}
