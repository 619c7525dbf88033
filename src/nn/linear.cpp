#include "nn/linear.h"

#include <cstring>

namespace t2i {
namespace {

// The matrices under one another, in host memory: f32 unless all have one dtype. One layer's worth, freed
// once packed.
Tensor stack_rows(std::span<const TensorView> matrices) {
    DType dtype = matrices[0].dtype;
    std::int64_t rows = 0;
    for (const auto& m : matrices) {
        rows += m.shape[0];
        if (m.dtype != dtype) dtype = DType::f32;
    }
    Tensor stacked = Tensor::host({rows, matrices[0].shape[1]}, dtype);
    auto* to = static_cast<std::byte*>(stacked.view.data);
    for (const auto& m : matrices) {
        if (m.dtype == dtype) std::memcpy(to, m.data, m.bytes());
        else convert_to_f32(m.data, m.dtype, static_cast<std::size_t>(m.elements()), reinterpret_cast<float*>(to));
        to += static_cast<std::size_t>(m.elements()) * size_of(dtype);
    }
    return stacked;
}

}  // namespace

Linear::Linear(const LoadContext& load, const TensorView& weight, Tensor bias)
    : weight_(ops::pack_linear(load.backend, weight, load.compute)), bias_(std::move(bias)) {}

Linear::Linear(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, Bias bias)
    : Linear(load, scope.take("weight", {out, in}),
             bias == Bias::yes ? upload_bias(load, scope.take_f32("bias", {out})) : Tensor{}) {}

Linear::Linear(const LoadContext& load, std::span<const Scope> scopes, std::int64_t in, std::int64_t out_each, Bias bias) {
    T2I_CHECK(!scopes.empty(), "a stacked layer of no parts");
    std::vector<TensorView> matrices;
    const Tensor biases = Tensor::host({static_cast<std::int64_t>(scopes.size()), out_each});
    for (const auto& scope : scopes) {
        if (bias == Bias::yes) {
            const Tensor part = scope.take_f32("bias", {out_each});
            const auto row = biases.view.slice(static_cast<std::int64_t>(matrices.size()), 1);
            std::memcpy(row.data, part.view.data, part.view.bytes());
        }
        matrices.push_back(scope.take("weight", {out_each, in}));
    }
    weight_ = ops::pack_linear(load.backend, stack_rows(matrices), load.compute);
    if (bias == Bias::yes) bias_ = upload_bias(load, biases.view.reshaped({biases.view.elements()}));
}

Linear Linear::patches(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t patch, std::int64_t out) {
    const TensorView filter = scope.take("weight", {out, channels, patch, patch});
    return {load, filter.reshaped({out, channels * patch * patch}), upload_bias(load, scope.take_f32("bias", {out}))};
}

std::vector<Linear> Linear::parts(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out_each,
                                  std::int64_t count) {
    const TensorView weight = scope.take("weight", {count * out_each, in});
    const Tensor bias = scope.take_f32("bias", {count * out_each});
    std::vector<Linear> layers;
    for (std::int64_t i = 0; i < count; ++i)
        layers.push_back(
            {load, weight.slice(i * out_each, out_each), upload_bias(load, bias.view.slice(i * out_each, out_each))});
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
