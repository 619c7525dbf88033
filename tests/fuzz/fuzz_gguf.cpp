// Any bytes are either a GGUF file, whose tensors all lie inside it, or an Error{input}.
#include <cstdint>

#include "checkpoint/gguf.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::span file(reinterpret_cast<const std::byte*>(data), size);
        const t2i::GgufLayout layout = t2i::parse_gguf(file, "fuzz");
        T2I_CHECK(layout.offsets.size() == layout.entries.size(), "one offset per entry");
        for (std::size_t i = 0; i < layout.entries.size(); ++i) {
            const auto& entry = layout.entries[i];
            T2I_CHECK(layout.offsets[i] <= size && entry.bytes <= size - layout.offsets[i], "tensor outside the file");
            T2I_CHECK(i == 0 || layout.entries[i - 1].name < entry.name, "entries in name order");
            static_cast<void>(entry.shape.elements());
        }
    });
    return 0;
}
