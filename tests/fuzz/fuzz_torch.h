// What is true of every checkpoint of torch.save that was read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint/torch_file.h"
#include "fuzz/fuzz_target.h"

namespace t2i::fuzz {

inline void check_inside(const TorchLayout& layout, std::size_t file_bytes) {
    T2I_CHECK(layout.places.size() == layout.entries.size(), "one place per entry");
    for (std::size_t i = 0; i < layout.entries.size(); ++i) {
        const auto& entry = layout.entries[i];
        const TorchPlace& place = layout.places[i];
        T2I_CHECK(i == 0 || layout.entries[i - 1].name < entry.name, "entries in name order");
        const std::int64_t elements = entry.shape.elements();
        T2I_CHECK(entry.bytes == static_cast<std::size_t>(elements) * place.element_bytes, "bytes of all elements");
        T2I_CHECK(place.offset <= file_bytes, "tensor outside the file");
        if (elements == 0) continue;
        std::size_t last = 0;
        for (int d = 0; d < entry.shape.rank(); ++d)
            last += static_cast<std::size_t>(entry.shape[d] - 1) *
                    static_cast<std::size_t>(place.strides[static_cast<std::size_t>(d)]);
        T2I_CHECK(last < file_bytes && (last + 1) * place.element_bytes <= file_bytes - place.offset, "element outside the file");
        T2I_CHECK(place.swapped_bytes > 0 && entry.bytes % place.swapped_bytes == 0, "whole groups to swap");
    }
}

}  // namespace t2i::fuzz
