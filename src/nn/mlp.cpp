#include "nn/mlp.h"

#include <array>

namespace t2i {

Mlp::Mlp(const LoadContext& load, const Scope& first, const Scope& second, const Sizes& sizes, Activation activation)
    : first_(load, first, sizes.in, sizes.hidden), second_(load, second, sizes.hidden, sizes.out), activation_(activation) {}

void Mlp::forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Linear::Epilogue& epilogue) const {
    const TraceSpan span(ctx, "mlp", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const TensorView hidden = ctx.scratch.take({x.shape.rows(), first_.out_features()}, first_.compute());
    first_.forward(ctx, x, hidden, {.activation = activation_});
    second_.forward(ctx, hidden, out, epilogue);
}

GatedGeluMlp::GatedGeluMlp(const LoadContext& load, const Scope& scope, std::int64_t width, std::int64_t hidden)
    : wi_(load, std::array{scope / "wi_0", scope / "wi_1"}, width, hidden, Bias::no),
      wo_(load, scope / "wo", hidden, width, Bias::no) {}

void GatedGeluMlp::add_to(const ExecContext& ctx, const TensorView& x, const TensorView& stream) const {
    const TraceSpan span(ctx, "mlp", x.shape);
    const Arena::Mark mark(ctx.scratch);
    const std::int64_t rows = x.shape.rows();
    const TensorView both = ctx.scratch.take({rows, wi_.out_features()}, wi_.compute());
    const TensorView gated = ctx.scratch.take({rows, wi_.out_features() / 2}, wi_.compute());
    wi_.forward(ctx, x, both);
    ops::gated_gelu(ctx, both, gated);
    wo_.forward(ctx, gated, stream, {.residual = stream});
}

}  // namespace t2i
