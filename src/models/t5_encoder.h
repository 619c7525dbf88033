// The encoder half of T5 v1.1 (transformers, T5EncoderModel): what PixArt reads prompts with.
#pragma once

#include "models/config.h"
#include "models/roles.h"
#include "nn/load.h"

namespace t2i {

// resident: all weights are read now, and stay. Else names and shapes are checked now, see TextEncoder::is_resident(); then Error
// about what a tensor holds comes from encode().
[[nodiscard]] std::unique_ptr<TextEncoder> make_t5_encoder(const LoadContext& load, const ModelConfig& config,
                                                           std::shared_ptr<WeightStore> weights, bool resident);

}  // namespace t2i
