// Into a transformer over patches of latents and out of it again (diffusers, PatchEmbed and unpatchify).
#pragma once

#include "nn/linear.h"

namespace t2i {

struct PatchLayersConfig {
    std::int64_t channels, out_channels;  // of the latents; of what the head makes
    std::int64_t patch, width;
    std::int64_t sample_size;          // height and width of latents that the model was made for
    double interpolation_scale = 1.0;  // of the positions
};

class PatchLayers {
  public:
    // embed: the convolution over patches; head: the last product, width → patch²·out_channels
    PatchLayers(const LoadContext& load, const Scope& embed, const Scope& head, const PatchLayersConfig& config);

    // Fails a check unless latents of this shape [B, C, H, W] divide into patches.
    void check(const Shape& latents) const;
    // Of such latents' tokens: [T, width] f32 in the backend's memory.
    [[nodiscard]] Tensor positions(Backend& backend, const Shape& latents) const;
    // latents [B, C, H, W] f32, positions [T, width] → x [B·T, width] f32: patches·W + bias + positions
    void embed(const ExecContext& ctx, const TensorView& latents, const TensorView& positions, const TensorView& x) const;
    // normed [B·T, width] in the compute dtype → out [B, C, H, W] f32. C may be twice the latents'
    // channels, with a learned variance; else that, the channels after the first C, is computed and left behind.
    void write(const ExecContext& ctx, const TensorView& normed, const TensorView& out) const;

  private:
    PatchLayersConfig config_;
    Linear embed_, head_;
};

}  // namespace t2i
