#include "nn/conv.h"

namespace t2i {

Conv2d::Conv2d(const LoadContext& load, const Scope& scope, const Conv2dConfig& config)
    : use_{config.stride, config.upsample}, padding_(config.padding) {
    const TensorView filter = scope.take("weight", {config.out, config.in, config.kernel, config.kernel});
    weight_ = ops::pack_conv2d(load.backend, filter, load.compute, use_);
    scope.release("weight");
    if (config.bias == Bias::yes) bias_ = upload_bias(load, scope.take_f32("bias", {config.out}));
}

Shape Conv2d::output_shape(const Shape& x) const {
    const Shape& w = weight_->shape;
    const std::int64_t factor = use_.upsample ? 2 : 1;
    return {x[0], (factor * x[1] + padding_[0] + padding_[2] - w[2]) / use_.stride + 1,
            (factor * x[2] + padding_[1] + padding_[3] - w[3]) / use_.stride + 1, w[0]};
}

void Conv2d::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const ConvExtras& extras) const {
    Conv2dArgs a;
    a.x = x;
    a.norm = extras.norm;
    a.upsample = use_.upsample;
    a.weight = weight_.get();
    if (!bias_.view.empty()) a.bias = bias_.view;
    a.stride = use_.stride;
    a.padding = padding_;
    a.activation = extras.activation;
    a.residual = extras.residual;
    a.out = out;
    ops::conv2d(ctx, a);
}

}  // namespace t2i
