#include "models/transformer_parts.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace t2i {

PatchTransformerConfig read_patch_transformer_config(const ModelConfig& c, const PatchTransformerDefaults& defaults) {
    c.only("activation_fn", "gelu-approximate");
    if (c.flag("norm_elementwise_affine", false)) throw c.error("norm_elementwise_affine", "true is not supported");
    PatchTransformerConfig p{};
    p.block.heads = c.integer("num_attention_heads", 16);
    p.block.head_size = c.integer("attention_head_dim", 72);
    p.block.width = p.block.heads * p.block.head_size;
    p.block.attention_bias = c.flag("attention_bias", true) ? Bias::yes : Bias::no;
    p.layers = c.integer("num_layers", 28);
    p.channels = c.integer("in_channels", 4);
    const bool is_null = c.all().contains("out_channels") && !c.has("out_channels");  // no learned variance
    p.out_channels = c.integer("out_channels", is_null || defaults.out_channels == 0 ? p.channels : defaults.out_channels);
    p.sample_size = c.integer("sample_size", defaults.sample_size);
    p.patch = c.integer("patch_size", 2);
    if (p.block.width % 4 != 0) throw c.error("attention_head_dim", "times the heads must be a multiple of 4");
    if (p.out_channels != p.channels && p.out_channels != 2 * p.channels)
        throw c.error("out_channels", "must be once or twice in_channels");
    if (p.sample_size < p.patch) throw c.error("sample_size", "must not be below patch_size");
    return p;
}

Modulation Modulation::of(const TensorView& table) {
    Modulation m;
    for (std::int64_t row = 0; row < rows; ++row) m.tensors[static_cast<std::size_t>(row)] = table.slice(row, 1);
    return m;
}

void ModulatedNorm::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const {
    NormModulateArgs a;
    a.x = x;
    a.shift = shift;
    a.scale = scale;
    a.eps = eps;
    a.out = out;
    ops::norm_modulate(ctx, a);
}

ModulatedNorm attention_norm(const Modulation& m, float eps) {
    return {m[Modulation::shift_attention], m[Modulation::scale_attention], eps};
}

ModulatedNorm mlp_norm(const Modulation& m, float eps) {
    return {m[Modulation::shift_mlp], m[Modulation::scale_mlp], eps};
}

void ResidualStream::add(const ExecContext& ctx, const std::optional<TensorView>& gate,
                         const std::optional<ModulatedNorm>& norm) const {
    ResidualNormArgs a;
    a.y = y;
    a.gate = gate;
    a.stream = stream;
    a.out = normed;
    if (norm) {
        a.shift = norm->shift;
        a.scale = norm->scale;
        a.eps = norm->eps;
    }
    ops::residual_norm(ctx, a);
}

const AttentionNames& diffusers_attention_names() {
    static const AttentionNames names{"to_q", "to_k", "to_v", "to_out.0"};
    return names;
}

AttentionConfig attention_config(const BlockSizes& sizes) {
    return {.width = sizes.width,
            .heads = sizes.heads,
            .head_size = sizes.head_size,
            .scale = 1.0F / std::sqrt(static_cast<float>(sizes.head_size)),
            .qkv_bias = sizes.attention_bias,
            .out_bias = Bias::yes};
}

Mlp feed_forward(const LoadContext& load, const Scope& scope, std::int64_t width) {
    constexpr std::int64_t ratio = 4;
    return {load,
            scope / "net" / 0 / "proj",
            scope / "net" / 2,
            {.in = width, .hidden = ratio * width, .out = width},
            Activation::gelu_tanh};
}

SinusoidMlp::SinusoidMlp(const LoadContext& load, const Scope& scope, std::int64_t width, float shift)
    : mlp_(load, scope / "linear_1", scope / "linear_2", {.in = sinusoid_width, .hidden = width, .out = width}, Activation::silu),
      shift_(shift),
      compute_(load.compute) {}

void SinusoidMlp::forward(const ExecContext& ctx, std::span<const float> values, const TensorView& out,
                          const Linear::Epilogue& epilogue) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView waves = ctx.scratch.take({static_cast<std::int64_t>(values.size()), sinusoid_width}, compute_);
    ops::timestep_embed(ctx, values, shift_, waves);
    mlp_.forward(ctx, waves, out, epilogue);
}

}  // namespace t2i
