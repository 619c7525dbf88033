// The rate of whole batches, against the denoiser's own, pictures one at a time, and separate runs of the program.
#pragma once

#include "app/bench_table.h"
#include "t2i/pipeline.h"

namespace t2i::app {

// What is drawn where nobody says: a text, or of a class-conditional model its first class.
[[nodiscard]] std::string default_prompt(const ModelInfo& info);

// Times at least `pictures` prompts of one kind through the batch runner into temporary folders, in turns with what they are
// compared with. Every row is per picture: the denoiser
// alone at the same engine batch, the batch end to end, the batch at one picture at a time, and separate runs of this program;
// the rows' names say the ratios that matter. model.engine_batch 0: chosen by measurement. request: prompt (not read by a
// class-conditional model, which draws class after class), steps, guidance.
// Throws Error as the batch does.
[[nodiscard]] BenchReport bench_batch(const PipelineOptions& model, const GenerateRequest& request, int pictures, Tracer* tracer);

}  // namespace t2i::app
