// The variational autoencoder of Stable Diffusion (diffusers, AutoencoderKL).
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

[[nodiscard]] std::unique_ptr<Decoder> make_kl_decoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights);
[[nodiscard]] std::unique_ptr<LatentEncoder> make_kl_encoder(const LoadContext& load, const ModelConfig& config,
                                                             WeightStore& weights);

// Pixels per latent in each direction.
[[nodiscard]] std::int64_t read_kl_factor(const ModelConfig& config);

}  // namespace t2i
