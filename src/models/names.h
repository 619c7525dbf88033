// Checkpoints spell the same tensor in several ways. Models ask for canonical names (today's diffusers and
// transformers); these functions say what a given checkpoint calls them.
#pragma once

#include <string>

#include "checkpoint/weights.h"

namespace t2i {

// T5's embedding table: "shared.weight", or "encoder.embed_tokens.weight" where only the tied copy was saved.
// The copy that is not taken is marked as known.
[[nodiscard]] std::string t5_embedding_name(const Scope& root);
void ignore_t5_duplicates(WeightStore& weights);

// TAESD's own files have no "decoder.layers." or "encoder.layers." in front, and its decoder counts from 1.
void rename_taesd(WeightStore& weights, const std::string& part);

// Marks every tensor that starts with `prefix` as known, for the half of an autoencoder that is not loaded.
void ignore_prefix(WeightStore& weights, const std::string& prefix);

}  // namespace t2i
