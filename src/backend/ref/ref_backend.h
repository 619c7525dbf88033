// The reference backend: kernels/ref behind the Backend interface. Slow, exact, on every machine.
#pragma once

#include <memory>

#include "ops/backend.h"

namespace t2i {
[[nodiscard]] std::unique_ptr<Backend> make_ref_backend();
}
