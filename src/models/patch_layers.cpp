#include "models/patch_layers.h"

#include "nn/sincos.h"

namespace t2i {

PatchLayers::PatchLayers(const LoadContext& load, const Scope& embed, const Scope& head, const PatchLayersConfig& config)
    : config_(config),
      embed_(Linear::patches(load, embed, config.channels, config.patch, config.width)),
      head_(load, head, config.width, config.patch * config.patch * config.out_channels) {}

void PatchLayers::check(const Shape& s) const {
    T2I_CHECK(s.rank() == 4 && s[1] == config_.channels && s[2] > 0 && s[3] > 0 && s[2] % config_.patch == 0 &&
                  s[3] % config_.patch == 0,
              "latents " + s.text() + " in patches of " + std::to_string(config_.patch));
}

Tensor PatchLayers::positions(Backend& backend, const Shape& latents) const {
    return upload(backend, sincos_positions({.rows = latents[2] / config_.patch,
                                             .columns = latents[3] / config_.patch,
                                             .base = config_.sample_size / config_.patch,
                                             .interpolation_scale = config_.interpolation_scale},
                                            config_.width));
}

void PatchLayers::embed(const ExecContext& ctx, const TensorView& latents, const TensorView& positions,
                        const TensorView& x) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView patches = ctx.scratch.take({x.shape[0], config_.channels * config_.patch * config_.patch}, embed_.compute());
    ops::patchify(ctx, latents, config_.patch, patches);
    embed_.forward(ctx, patches, x, {.residual = positions});
}

void PatchLayers::write(const ExecContext& ctx, const TensorView& normed, const TensorView& out) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView tokens = ctx.scratch.take({normed.shape[0], head_.out_features()});
    head_.forward(ctx, normed, tokens);
    ops::unpatchify(ctx, tokens, config_.patch, out);
}

}  // namespace t2i
