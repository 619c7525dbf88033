// From a component's folder to the model in it: the class that its config.json names picks a row of a table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/roles.h"

namespace t2i {

// `compute` is the dtype of activations in matrix products: f32 or bf16. All throw Error{input} naming the
// file: a class that is not known, a key missing from the config or out of range, a tensor missing, left over
// or wrongly shaped.
[[nodiscard]] std::unique_ptr<TextEncoder> load_text_encoder(Backend& backend, const std::string& folder, DType compute);
[[nodiscard]] std::unique_ptr<Denoiser> load_denoiser(Backend& backend, const std::string& folder, DType compute);
// Also a single file: TAESD's own, or the weights of a component whose config.json lies beside them.
[[nodiscard]] std::unique_ptr<Decoder> load_decoder(Backend& backend, const std::string& folder_or_file, DType compute);
[[nodiscard]] std::unique_ptr<LatentEncoder> load_encoder(Backend& backend, const std::string& folder_or_file, DType compute);

// The files that the loaders read: config.json and the weights, of a single file also what it needs beside itself. They throw
// Error{input} as the loaders do about a file that is not there.
[[nodiscard]] std::vector<std::string> component_files(const std::string& folder);
[[nodiscard]] std::vector<std::string> decoder_files(const std::string& folder_or_file);

// From config.json alone; both throw what the loaders throw about it.
[[nodiscard]] GridSizes read_denoiser_sizes(const std::string& folder);
// Pixels per latent in each direction of the decoder that load_decoder() makes of the same path.
[[nodiscard]] std::int64_t read_decoder_factor(const std::string& folder_or_file);

}  // namespace t2i
