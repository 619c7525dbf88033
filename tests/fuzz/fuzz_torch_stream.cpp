// As fuzz_torch_zip.cpp, of the format before PyTorch 1.6.
#include <cstdint>

#include "checkpoint/torch_file.h"
#include "fuzz/fuzz_torch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::span file(reinterpret_cast<const std::byte*>(data), size);
        t2i::fuzz::check_inside(t2i::parse_torch_stream(file, "fuzz"), size);
    });
    return 0;
}
