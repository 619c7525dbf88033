// The rate of whole batches, against the denoiser's own, pictures one at a time, and separate runs of the program.
#pragma once

#include "app/bench_table.h"
#include "t2i/pipeline.h"

namespace t2i::app {

// Times `pictures` prompts of one kind through the batch runner into a temporary folder. Every row is per picture: the denoiser
// alone at the same engine batch, the batch end to end, the batch at one picture at a time, and separate runs of this program;
// the rows' names say the ratios that matter. model.engine_batch 0: chosen by measurement. request: prompt, steps, guidance.
// Throws Error as the batch does.
[[nodiscard]] BenchReport bench_batch(const PipelineOptions& model, const GenerateRequest& request, int pictures);

}  // namespace t2i::app
