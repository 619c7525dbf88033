// The picture that a request begins with, and its mask, brought to the size at which it is drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "generators/generator.h"
#include "pipeline/request.h"

namespace t2i {

// Constant, so from any thread. Hashes are of the pixels as they were decoded, before any change of size: a picture is the same
// one in whatever file and under whatever name, with or without metadata.
struct StartPicture {
    int width = 0, height = 0;       // pixels
    std::vector<std::uint8_t> rgb;   // [height, width, 3]
    std::vector<std::uint8_t> mask;  // [height, width], 255 where the picture is made anew; empty: anew everywhere
    std::string name, mask_name;     // of the files, for people; empty where pixels were handed over
    std::string hash, mask_hash;     // 16 hex digits
    std::string resize_mode;         // the request's; empty: crop
    [[nodiscard]] std::size_t bytes() const { return rgb.size() + mask.size(); }
};

// Reads, checks and fits what the request begins with; null where it begins with nothing. resolved: of the same request. Throws
// Error: input (a file: it cannot be read, is no picture, has over 4096 pixels a side), invalid_argument (pixels that are none; a
// mask of another size than the picture). From any thread.
[[nodiscard]] std::shared_ptr<const StartPicture> read_start(const GenerateRequest& request, const ResolvedRequest& resolved);

// 16 hex digits of XXH3-64 of size and pixels.
[[nodiscard]] std::string hash_pixels(const Image& picture);

// The mask as latents have it: 1 or 0 a latent, by the pixel in its upper left corner, as diffusers reads it.
[[nodiscard]] Tensor latent_mask(const StartPicture& start, std::int64_t factor);
// Pixels [-1, 1] of [1, height, width, 3] f32, as encoders read them.
[[nodiscard]] Tensor encoder_input(const StartPicture& start);
// Where the mask is dark the drawn picture gives way to the one that it began with, in between both are mixed.
void paste_unmasked(const StartPicture& start, std::span<std::uint8_t> rgb);

}  // namespace t2i
