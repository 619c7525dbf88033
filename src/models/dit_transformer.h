// DiT, class-conditional (Peebles & Xie 2023; diffusers, DiTTransformer2DModel).
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

// Throws Error{input} naming the file and the key or tensor.
[[nodiscard]] std::unique_ptr<Denoiser> make_dit_transformer(const LoadContext& load, const ModelConfig& config,
                                                             WeightStore& weights);

[[nodiscard]] GridSizes read_dit_sizes(const ModelConfig& config);

}  // namespace t2i
