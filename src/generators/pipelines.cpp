// Alone in its file: see pipelines.h.
#include "generators/pipelines.h"

namespace t2i {

[[gnu::weak]] std::span<const PipelineRow> pipelines() {
    return built_in_pipelines();
}

}  // namespace t2i
