// A pipeline with what the public header does not offer: for the program's own commands and for tests.
#pragma once

#include "pipeline/engine.h"
#include "t2i/pipeline.h"

namespace t2i {

struct PipelineAccess {
    // As Pipeline::load().
    [[nodiscard]] static Pipeline load(const PipelineOptions& options, const EngineHooks& hooks);
};

}  // namespace t2i
