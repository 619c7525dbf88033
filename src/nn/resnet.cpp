#include "nn/resnet.h"

#include <cmath>

namespace t2i {
namespace {
// Both models and all their norms use it (diffusers, Encoder and Decoder: resnet_eps).
constexpr float group_norm_eps = 1e-6F;
}  // namespace

ResnetBlock::ResnetBlock(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t groups)
    : norm1_(load, scope / "norm1", in, groups, group_norm_eps),
      conv1_(load, scope / "conv1", {.in = in, .out = out}),
      norm2_(load, scope / "norm2", out, groups, group_norm_eps),
      conv2_(load, scope / "conv2", {.in = out, .out = out}) {
    if (in != out)
        shortcut_.emplace(load, scope / "conv_shortcut", Conv2dConfig{.in = in, .out = out, .kernel = 1, .padding = {}});
}

void ResnetBlock::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const {
    const TraceSpan span(ctx, "resnet", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const TensorView hidden = ctx.scratch.take(out.shape, x.dtype);
    conv1_.forward(ctx, x, hidden, {.norm = norm1_.before_conv(Activation::silu)});
    TensorView residual = x;
    if (shortcut_) {
        residual = ctx.scratch.take(out.shape, x.dtype);
        shortcut_->forward(ctx, x, residual);
    }
    conv2_.forward(ctx, hidden, out, {.residual = residual, .norm = norm2_.before_conv(Activation::silu)});
}

PixelAttention::PixelAttention(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t groups)
    : norm_(load, scope / "group_norm", channels, groups, group_norm_eps),
      qkv_(load, std::array{scope / "to_q", scope / "to_k", scope / "to_v"}, channels, channels, Bias::yes),
      to_out_(load, scope / "to_out.0", channels, channels),
      channels_(channels) {}

void PixelAttention::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const {
    const TraceSpan span(ctx, "pixel_attention", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const std::int64_t rows = x.shape.rows();
    const TensorView normed = ctx.scratch.take(x.shape, x.dtype);
    const TensorView qkv = ctx.scratch.take({rows, 3 * channels_}, x.dtype);
    const TensorView mixed = ctx.scratch.take({rows, channels_}, x.dtype);
    norm_.forward(ctx, x, normed, Activation::none);
    qkv_.forward(ctx, normed, qkv);
    AttentionArgs a;
    a.q = {qkv, 0, channels_};
    a.k = {qkv, channels_, channels_};
    a.v = {qkv, 2 * channels_, channels_};
    a.batch = x.shape[0];
    a.scale = 1.0F / std::sqrt(static_cast<float>(channels_));
    a.out = mixed;
    ops::attention(ctx, a);
    to_out_.forward(ctx, mixed, out, {.residual = as_dtype(ctx, x, DType::f32)});
}

PicturePair::PicturePair(const ExecContext& ctx, DType dtype, std::int64_t max_elements) {
    for (auto& slot : slots_) slot = ctx.scratch.take({max_elements}, dtype);
}

TensorView PicturePair::next(const Shape& shape) const {
    TensorView view = current_.data == slots_[0].data ? slots_[1] : slots_[0];
    T2I_CHECK(shape.elements() <= view.elements(), "a picture of " + shape.text() + " outgrows its buffer");
    view.shape = shape;
    return view;
}

}  // namespace t2i
