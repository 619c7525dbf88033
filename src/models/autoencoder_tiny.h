// TAESD: a small autoencoder of ReLU blocks (github.com/madebyollin/taesd; diffusers, AutoencoderTiny).
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

// Both take diffusers' tensor names or those of TAESD's own files.
[[nodiscard]] std::unique_ptr<Decoder> make_tiny_decoder(const LoadContext& load, const ModelConfig& config,
                                                         WeightStore& weights);
[[nodiscard]] std::unique_ptr<LatentEncoder> make_tiny_encoder(const LoadContext& load, const ModelConfig& config,
                                                               WeightStore& weights);

// Pixels per latent in each direction.
[[nodiscard]] std::int64_t read_tiny_factor(const ModelConfig& config);

}  // namespace t2i
