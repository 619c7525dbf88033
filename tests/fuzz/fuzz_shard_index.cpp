// Any bytes are either an index of plain file names or an Error{input}.
#include <cstdint>

#include "checkpoint/sharded.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::string_view text(reinterpret_cast<const char*>(data), size);
        for (const auto& [name, file] : t2i::parse_shard_index(text, "fuzz")) {
            T2I_CHECK(!file.empty() && file.find('/') == std::string::npos && file != "..", "a shard leads out of the folder");
        }
    });
    return 0;
}
