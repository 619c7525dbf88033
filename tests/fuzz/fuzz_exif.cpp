// Any bytes are either an EXIF block whose comment, if it has one, is UTF-8, or an Error{input}.
#include <cstdint>

#include "core/escape.h"
#include "fuzz/fuzz_target.h"
#include "pipeline/exif.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const auto text = t2i::read_exif_comment({data, size}, "fuzz");
        if (text && !t2i::is_utf8(*text)) throw std::runtime_error("a comment that is not UTF-8");
    });
    return 0;
}
