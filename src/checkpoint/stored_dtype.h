// Element types as the formats of checkpoints spell them, and those that tensors can hold.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "checkpoint/reader.h"
#include "core/dtype.h"

namespace t2i {

struct StoredDType {
    DType dtype;
    std::string_view name;
};
// All types of ours.
[[nodiscard]] std::span<const StoredDType> stored_dtypes();

// safetensors' and GGUF's name of a type, such as "BF16" or "Q4_K".
[[nodiscard]] std::string_view stored_name(DType dtype);
// Nothing: no tensor of ours can hold it.
[[nodiscard]] std::optional<DType> stored_dtype(std::string_view name);
// The same of an entry. Throws Error{input} naming its file and tensor.
[[nodiscard]] DType dtype_of(const CheckpointReader::Entry& entry);

}  // namespace t2i
