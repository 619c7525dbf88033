#include "models/pixart_block.h"

#include <cmath>

namespace t2i {
namespace {

const AttentionNames& names() {
    static const AttentionNames diffusers{"to_q", "to_k", "to_v", "to_out.0"};
    return diffusers;
}

AttentionConfig attention_config(const PixArtBlockConfig& c) {
    return {.width = c.width,
            .heads = c.heads,
            .head_size = c.head_size,
            .scale = 1.0F / std::sqrt(static_cast<float>(c.head_size)),
            .qkv_bias = c.attention_bias,
            .out_bias = Bias::yes};
}

constexpr std::int64_t mlp_ratio = 4;  // diffusers, FeedForward

}  // namespace

PixArtBlock::PixArtBlock(const LoadContext& load, const Scope& scope, const PixArtBlockConfig& config)
    : table_(load_f32(load, scope, "scale_shift_table", {rows, config.width})),
      self_(load, scope / "attn1", names(), attention_config(config)),
      cross_(load, scope / "attn2", names(), attention_config(config), config.context_width),
      mlp_(load, scope / "ff" / "net" / 0 / "proj", scope / "ff" / "net" / 2,
           {.in = config.width, .hidden = mlp_ratio * config.width, .out = config.width},
           Activation::gelu_tanh),
      eps_(config.eps),
      compute_(load.compute) {}

PixArtBlock::Norm PixArtBlock::first_norm(const TensorView& modulation) const {
    return {modulation.slice(shift_attention, 1), modulation.slice(scale_attention, 1), eps_};
}

void PixArtBlock::forward(const ExecContext& ctx, const TensorView& x, const TensorView& normed, const TensorView& modulation,
                          const Text& text, const Norm& next) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView y = ctx.scratch.take(x.shape, compute_);
    ResidualNormArgs seam;
    seam.y = y;
    seam.stream = x;
    seam.out = normed;
    const auto add = [&](std::optional<TensorView> gate, const Norm& norm) {
        seam.gate = gate;
        seam.shift = norm.shift;
        seam.scale = norm.scale;
        seam.eps = norm.eps;
        ops::residual_norm(ctx, seam);
    };

    self_.forward(ctx, normed, y, {.batch = text.lengths.elements()});
    seam.gate = modulation.slice(gate_attention, 1);
    ops::residual_norm(ctx, seam);  // no norm in front of the cross-attention
    cross_.forward(ctx, normed, text.keys_values, text.lengths, y);
    add({}, {modulation.slice(shift_mlp, 1), modulation.slice(scale_mlp, 1), eps_});
    mlp_.forward(ctx, normed, y);
    add(modulation.slice(gate_mlp, 1), next);
}

}  // namespace t2i
