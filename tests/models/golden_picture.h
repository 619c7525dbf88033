// Whole pictures against the reference's, from prompt or class to 8-bit pixels.
#pragma once

#include <string>

#include "support/fixture.h"
#include "t2i/pipeline.h"

namespace t2i::test {

// "request" of a case of a manifest.
[[nodiscard]] GenerateRequest request_of(const nlohmann::json& c);

// The final latents of a request in f32, unless the options say another dtype, on two threads.
[[nodiscard]] Tensor latents_of(PipelineOptions options, const GenerateRequest& asked, const Shape& shape);

// One case of a manifest, drawn from the model and on the device of the options in f32: latents within 1e-4, pixels within a
// level.
void check_picture(const std::string& component, const nlohmann::json& c, const CheckpointReader& results,
                   PipelineOptions options);

}  // namespace t2i::test
