#include "nn/attention.h"

#include <array>

namespace t2i {

SelfAttention::SelfAttention(const LoadContext& load, const Scope& scope, const AttentionNames& names,
                             const AttentionConfig& config)
    : qkv_(load, std::array{scope / names.q, scope / names.k, scope / names.v}, config.width, config.inner(), config.qkv_bias),
      out_(load, scope / names.out, config.inner(), config.width, config.out_bias),
      config_(config) {}

void SelfAttention::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Call& call) const {
    const TraceSpan span(ctx, "self_attention", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const std::int64_t rows = x.shape.rows(), inner = config_.inner();
    const TensorView qkv = ctx.scratch.take({rows, 3 * inner}, qkv_.compute());
    const TensorView mixed = ctx.scratch.take({rows, inner}, qkv_.compute());
    qkv_.forward(ctx, x, qkv);
    AttentionArgs a;
    a.q = {qkv, 0, inner};
    a.k = {qkv, inner, inner};
    a.v = {qkv, 2 * inner, inner};
    a.batch = call.batch;
    a.heads = config_.heads;
    a.scale = config_.scale;
    a.bias = call.bias;
    a.out = mixed;
    ops::attention(ctx, a);
    out_.forward(ctx, mixed, out, call.epilogue);
}

CrossAttention::CrossAttention(const LoadContext& load, const Scope& scope, const AttentionNames& names,
                               const AttentionConfig& config, std::int64_t context_width)
    : q_(load, scope / names.q, config.width, config.inner(), config.qkv_bias),
      kv_(load, std::array{scope / names.k, scope / names.v}, context_width, config.inner(), config.qkv_bias),
      out_(load, scope / names.out, config.inner(), config.width, config.out_bias),
      config_(config) {}

void CrossAttention::keys_values(const ExecContext& ctx, const TensorView& context, const TensorView& out) const {
    const TraceSpan span(ctx, "keys_values", context.shape);
    kv_.forward(ctx, context, out);
}

void CrossAttention::forward(const ExecContext& ctx, const TensorView& x, const TensorView& keys_values,
                             const TensorView& lengths, const TensorView& out) const {
    const TraceSpan span(ctx, "cross_attention", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const std::int64_t rows = x.shape.rows(), inner = config_.inner();
    const TensorView q = ctx.scratch.take({rows, inner}, q_.compute());
    const TensorView mixed = ctx.scratch.take({rows, inner}, q_.compute());
    q_.forward(ctx, x, q);
    AttentionArgs a;
    a.q = Columns::all(q);
    a.k = {keys_values, 0, inner};
    a.v = {keys_values, inner, inner};
    a.batch = lengths.elements();
    a.heads = config_.heads;
    a.scale = config_.scale;
    a.key_lengths = lengths;
    a.out = mixed;
    ops::attention(ctx, a);
    out_.forward(ctx, mixed, out);
}

}  // namespace t2i
