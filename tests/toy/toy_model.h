// An autoregressive pipeline that only this test knows: a class picks a table of transitions between codes, codes are drawn one
// after the other along the rows of a grid, and a codebook of colours turns each into a square of pixels. No denoiser, no
// scheduler/, no steps, no starting noise.
#pragma once

#include <cstdint>
#include <string>

namespace t2i::test {

constexpr std::int64_t toy_codes = 16, toy_classes = 3, toy_grid = 6, toy_factor = 4;

// Writes such a model folder, which is made. decoder_codes: entries of its codebook.
void write_toy_model(const std::string& folder, std::int64_t decoder_codes = toy_codes);

// The colour that a code is drawn in, a channel of three.
[[nodiscard]] std::uint8_t toy_colour(std::int64_t code, std::int64_t channel);

}  // namespace t2i::test
