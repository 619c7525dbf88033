#include "nn/load.h"

#include <algorithm>
#include <array>

namespace t2i {

Tensor upload_bias(const LoadContext& load, const TensorView& host) {
    if (load.compute == DType::f32) return upload(load.backend, host);
    const Tensor rounded = Tensor::host(host.shape);
    std::ranges::transform(host.as<float>(), rounded.as<float>().begin(), [](float v) { return to_f32(to_bf16(v)); });
    return upload(load.backend, rounded);
}

Tensor load_f32(const LoadContext& load, const Scope& scope, const std::string& name, const Shape& shape) {
    return upload(load.backend, scope.take_f32(name, shape));
}

TensorView as_dtype(const ExecContext& ctx, const TensorView& x, DType dtype) {
    if (x.dtype == dtype) return x;
    const TensorView copy = ctx.scratch.take(x.shape, dtype);
    ops::cast(ctx, x, copy);
    return copy;
}

void affine(const ExecContext& ctx, const TensorView& x, double scale, double shift, const TensorView& out) {
    if (shift == 0.0) {
        const std::array<LincombTerm, 1> scaled{{{scale, x}}};
        return ops::lincomb(ctx, scaled, out);
    }
    const Arena::Mark mark(ctx.scratch);
    const Tensor host = Tensor::host(x.shape);
    std::ranges::fill(host.as<float>(), 1.0F);
    const TensorView ones = ctx.scratch.take(x.shape);
    ctx.backend.copy(host, ones);
    const std::array<LincombTerm, 2> terms{{{scale, x}, {shift, ones}}};
    ops::lincomb(ctx, terms, out);
}

}  // namespace t2i
