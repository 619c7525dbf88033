// A GenerateRequest checked against a model, with every default filled in.
#pragma once

#include <string>

#include "sampling/sampler.h"
#include "t2i/pipeline.h"

namespace t2i {

struct ResolvedRequest {
    std::string prompt, negative_prompt;
    std::uint64_t seed = 42;
    int width = 0, height = 0, count = 1;
    double cfg_scale = 1.0;
    bool guided = false;    // cfg_scale > 1
    std::string sampler;    // row name
    std::string scheduler;  // as asked for; empty: the model's own
    SamplerPlan plan;
};

// factor: pixels per latent; patch: latents per token. Throws Error{invalid_argument} naming the field and the range.
[[nodiscard]] ResolvedRequest resolve(const GenerateRequest& request, const ModelInfo& info, const ScheduleConfig& schedule,
                                      std::int64_t factor, std::int64_t patch);

}  // namespace t2i
