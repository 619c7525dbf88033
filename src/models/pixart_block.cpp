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

void PixArtBlock::forward(const ExecContext& ctx, const TensorView& x, const TensorView& modulation,
                          const TensorView& keys_values, std::span<const std::int32_t> lengths) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView normed = ctx.scratch.take(x.shape, compute_);
    const auto norm = [&](Row shift, Row scale) {
        NormModulateArgs a;
        a.x = x;
        a.shift = modulation.slice(shift, 1);
        a.scale = modulation.slice(scale, 1);
        a.eps = eps_;
        a.out = normed;
        ops::norm_modulate(ctx, a);
    };
    norm(shift_attention, scale_attention);
    self_.add_to(
        ctx, normed, x,
        {.batch = static_cast<std::int64_t>(lengths.size()), .gate = modulation.slice(gate_attention, 1)});
    cross_.add_to(ctx, as_dtype(ctx, x, compute_), keys_values, lengths, x);
    norm(shift_mlp, scale_mlp);
    mlp_.forward(ctx, normed, x, {.gate = modulation.slice(gate_mlp, 1), .residual = x});
}

}  // namespace t2i
