// Any bytes are either a JPEG whose parameters and pixels can be read or an Error{input}.
#include <cstdint>

#include "fuzz/fuzz_target.h"
#include "pipeline/jpeg.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] { (void)t2i::read_jpeg_info({data, size}, "fuzz"); });
    t2i::fuzz::expect_input_error_or_success([&] { (void)t2i::decode_jpeg({data, size}, "fuzz"); });
    return 0;
}
