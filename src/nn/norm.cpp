#include "nn/norm.h"

namespace t2i {

RmsNorm::RmsNorm(const LoadContext& load, const Scope& scope, std::int64_t width, float eps)
    : weight_(load_f32(load, scope, "weight", {width})), eps_(eps) {}

void RmsNorm::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const {
    ops::rms_norm(ctx, x, weight_, eps_, out);
}

GroupNorm::GroupNorm(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t groups, float eps)
    : weight_(load_f32(load, scope, "weight", {channels})),
      bias_(load_f32(load, scope, "bias", {channels})),
      groups_(groups),
      eps_(eps) {}

void GroupNorm::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, Activation activation) const {
    GroupNormArgs a;
    a.x = x;
    a.weight = weight_;
    a.bias = bias_;
    a.groups = groups_;
    a.eps = eps_;
    a.activation = activation;
    a.out = out;
    ops::group_norm(ctx, a);
}

}  // namespace t2i
