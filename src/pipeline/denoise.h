// Executes a SamplerPlan: the loop from noise to latents, with classifier-free guidance.
#pragma once

#include <functional>

#include "core/rng.h"
#include "models/roles.h"
#include "sampling/sampler.h"

namespace t2i {

struct DenoiseArgs {
    const Denoiser& denoiser;
    const DenoiserRequest& request;  // prepared for the plan's timesteps; rows [negative, positive], or [positive] alone
    const SamplerPlan& plan;
    double cfg_scale = 1.0;          // used when the request has two rows
    bool guided = false;             // the request has two rows
    TorchGenerator& noise;           // has drawn nothing yet
    std::function<bool(int steps_done)> progress;  // false stops with Error{interrupted}; may be empty
};

// latents [1, C, H, W] f32 on the host: overwritten with the result.
// Throws Error{input} when a step leaves a NaN or Inf, naming the step.
void denoise(const ExecContext& ctx, const DenoiseArgs& args, const TensorView& latents);

}  // namespace t2i
