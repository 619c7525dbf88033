// The encoder half of T5 v1.1 (transformers, T5EncoderModel): what PixArt reads prompts with.
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

[[nodiscard]] std::unique_ptr<TextEncoder> make_t5_encoder(const LoadContext& load, const ModelConfig& config,
                                                           WeightStore& weights);

}  // namespace t2i
