#include "nn/linear.h"

#include <cstring>

namespace t2i {
Linear::Linear(const LoadContext& load, const TensorView& weight, Tensor bias)
    : weight_(ops::pack_linear(load.backend, weight, load.compute)), bias_(std::move(bias)) {}

Linear::Linear(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, Bias bias)
    : Linear(load, std::span(&scope, 1), in, out, bias) {}

Linear::Linear(const LoadContext& load, std::span<const Scope> scopes, std::int64_t in, std::int64_t out_each, Bias bias) {
    std::vector<TensorView> matrices;
    for (const auto& scope : scopes) matrices.push_back(scope.take_unchecked("weight", {out_each, in}));
    weight_ = ops::pack_stacked(load.backend, matrices, load.compute);
    for (std::size_t i = 0; i < scopes.size() && !weight_->is_known_finite; ++i) scopes[i].check_finite("weight", matrices[i]);
    for (const auto& scope : scopes) scope.release("weight");  // after all checks: they may be parts of one tensor
    if (bias == Bias::no) return;
    const Tensor biases = Tensor::host({static_cast<std::int64_t>(scopes.size()), out_each});
    for (std::size_t i = 0; i < scopes.size(); ++i) {
        const Tensor part = scopes[i].take_f32("bias", {out_each});
        std::memcpy(biases.view.slice(static_cast<std::int64_t>(i), 1).data, part.view.data, part.view.bytes());
    }
    bias_ = upload_bias(load, biases.view.reshaped({biases.view.elements()}));
}

Linear Linear::patches(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t patch, std::int64_t out) {
    const TensorView filter = scope.take("weight", {out, channels, patch, patch});
    Linear layer{load, filter.reshaped({out, channels * patch * patch}), upload_bias(load, scope.take_f32("bias", {out}))};
    scope.release("weight");
    return layer;
}

std::vector<Linear> Linear::parts(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out_each,
                                  std::int64_t count) {
    const TensorView weight = scope.take("weight", {count * out_each, in});
    const Tensor bias = scope.take_f32("bias", {count * out_each});
    std::vector<Linear> layers;
    for (std::int64_t i = 0; i < count; ++i)
        layers.push_back(
            {load, weight.slice(i * out_each, out_each), upload_bias(load, bias.view.slice(i * out_each, out_each))});
    scope.release("weight");
    return layers;
}

void Linear::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Epilogue& epilogue) const {
    LinearArgs a;
    a.x = x;
    a.weight = weight_.get();
    if (!bias_.view.empty()) a.bias = bias_.view;
    a.activation = epilogue.activation;
    a.gate = epilogue.gate;
    a.residual = epilogue.residual;
    a.out = out;
    ops::linear(ctx, a);
}

}  // namespace t2i
