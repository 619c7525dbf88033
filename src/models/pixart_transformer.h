// PixArt-α and PixArt-Σ (diffusers, PixArtTransformer2DModel).
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

[[nodiscard]] std::unique_ptr<Denoiser> make_pixart_transformer(const LoadContext& load, const ModelConfig& config,
                                                                WeightStore& weights);

[[nodiscard]] GridSizes read_pixart_sizes(const ModelConfig& config);

}  // namespace t2i
