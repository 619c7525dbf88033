// What a forward pass needs besides its tensors; passed down, never global.
#pragma once

#include "core/arena.h"
#include "core/trace.h"
#include "ops/backend.h"

namespace t2i {

struct ExecContext {
    Backend& backend;
    Arena& scratch;
    Tracer* tracer = nullptr;  // null: nothing is recorded
};

}  // namespace t2i
