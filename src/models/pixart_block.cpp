#include "models/pixart_block.h"

namespace t2i {

PixArtBlock::PixArtBlock(const LoadContext& load, const Scope& scope, const PixArtBlockConfig& config)
    : table_(load_f32(load, scope, "scale_shift_table", {Modulation::rows, config.sizes.width})),
      self_(load, scope / "attn1", diffusers_attention_names(), attention_config(config.sizes)),
      cross_(load, scope / "attn2", diffusers_attention_names(), attention_config(config.sizes), config.context_width),
      mlp_(feed_forward(load, scope / "ff", config.sizes.width)),
      eps_(config.eps),
      compute_(load.compute) {}

ModulatedNorm PixArtBlock::first_norm(const Modulation& modulation) const {
    return attention_norm(modulation, eps_);
}

void PixArtBlock::forward(const ExecContext& ctx, const TensorView& x, const TensorView& normed, const Modulation& modulation,
                          const Text& text, const ModulatedNorm& next) const {
    const Arena::Mark mark(ctx.scratch);
    const ResidualStream residual{.y = ctx.scratch.take(x.shape, compute_), .stream = x, .normed = normed};
    self_.forward(ctx, normed, residual.y, {.batch = text.lengths.elements()});
    residual.add(ctx, modulation[Modulation::gate_attention], {});  // no norm in front of the cross-attention
    cross_.forward(ctx, normed, text.keys_values, text.lengths, residual.y);
    residual.add(ctx, {}, mlp_norm(modulation, eps_));
    mlp_.forward(ctx, normed, residual.y);
    residual.add(ctx, modulation[Modulation::gate_mlp], next);
}

}  // namespace t2i
