// The sizes that diffusers' PixArt pipelines draw at for requests of other sizes (use_resolution_binning).
#pragma once

#include <cstdint>
#include <vector>

namespace t2i {

struct SizeBin {
    double ratio;       // height by width, rounded as the table has it: what a request's is compared with
    int height, width;  // pixels
};

// By ratio, of a model whose latents have this side: ASPECT_RATIO_256_BIN, _512_BIN and _1024_BIN of pipeline_pixart_alpha.py for
// 32, 64 and 128, and of Sigma also ASPECT_RATIO_2048_BIN of pipeline_pixart_sigma.py for 256. Empty: there is no table.
[[nodiscard]] std::vector<SizeBin> pixart_alpha_bins(std::int64_t side);
[[nodiscard]] std::vector<SizeBin> pixart_sigma_bins(std::int64_t side);

}  // namespace t2i
