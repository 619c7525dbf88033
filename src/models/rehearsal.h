// Loading by names and shapes alone: the models take their tensors as ever, but no weight is read or kept.
#pragma once

#include <memory>

#include "checkpoint/reader.h"
#include "ops/backend.h"

namespace t2i {

// The same tensors, all of whose values are zero: reading one costs no memory of its own and no disk.
[[nodiscard]] std::unique_ptr<CheckpointReader> as_zeros(std::unique_ptr<CheckpointReader> reader);

// A backend to load into. It keeps nothing that is packed or copied, and its operations are broken promises (T2I_CHECK).
[[nodiscard]] std::unique_ptr<Backend> make_rehearsal_backend();

}  // namespace t2i
