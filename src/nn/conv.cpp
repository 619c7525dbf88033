#include "nn/conv.h"

namespace t2i {

Conv2d::Conv2d(const LoadContext& load, const Scope& scope, const Conv2dConfig& config)
    : stride_(config.stride), padding_(config.padding) {
    const std::int64_t keep = config.keep ? config.keep : config.out;
    const TensorView filter = scope.take("weight", {config.out, config.in, config.kernel, config.kernel});
    weight_ = ops::pack_conv2d(load.backend, filter.slice(0, keep), load.compute);
    if (config.bias == Bias::yes)
        bias_ = upload_bias(load, scope.take_f32("bias", {config.out}).view.slice(0, keep));
}

Shape Conv2d::output_shape(const Shape& x) const {
    const Shape& w = weight_->shape;
    return {x[0], (x[1] + padding_[0] + padding_[2] - w[2]) / stride_ + 1,
            (x[2] + padding_[1] + padding_[3] - w[3]) / stride_ + 1, w[0]};
}

void Conv2d::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out,
                     const ConvEpilogue& epilogue) const {
    Conv2dArgs a;
    a.x = x;
    a.weight = weight_.get();
    if (!bias_.view.empty()) a.bias = bias_.view;
    a.stride = stride_;
    a.padding = padding_;
    a.activation = epilogue.activation;
    a.residual = epilogue.residual;
    a.out = out;
    ops::conv2d(ctx, a);
}

}  // namespace t2i
