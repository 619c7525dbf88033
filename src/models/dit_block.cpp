#include "models/dit_block.h"

#include <cstring>

namespace t2i {
namespace {

constexpr float attention_eps = 1e-6F;  // AdaLayerNormZero's own, whatever norm_eps says

const std::string table_name = "embedding_table.weight";

// As it is stored where rows are gathered from that, else in f32.
Tensor upload_table(const LoadContext& load, const Scope& scope, const Shape& shape) {
    const TensorView table = scope.take(table_name, shape);
    const bool is_gathered = table.dtype == DType::f32 || table.dtype == DType::f16 || table.dtype == DType::bf16;
    return upload(load.backend, is_gathered ? table : scope.take_f32(table_name, shape));
}

}  // namespace

TimestepLabelEmbedder::TimestepLabelEmbedder(const LoadContext& load, const Scope& scope, std::int64_t width,
                                             std::int64_t classes, float shift)
    : timestep_(load, scope / "timestep_embedder", width, shift),
      table_(upload_table(load, scope / "class_embedder", {classes + 1, width})) {}

void TimestepLabelEmbedder::forward(const ExecContext& ctx, std::span<const float> timesteps,
                                    std::span<const std::int32_t> labels, const TensorView& out) const {
    const Arena::Mark mark(ctx.scratch);
    const TensorView classes = ctx.scratch.take({static_cast<std::int64_t>(labels.size()), out.shape[1]});
    ops::gather(ctx, table_, labels, classes);
    timestep_.forward(ctx, timesteps, out, {.residual = classes});  // row r takes residual row r mod B
}

bool TimestepLabelEmbedder::same(const Scope& a, const Scope& b, std::int64_t width, std::int64_t classes) {
    const auto equal = [&](const std::string& name, const Shape& shape) {
        const TensorView x = a.take(name, shape), y = b.take(name, shape);
        return x.dtype == y.dtype && std::memcmp(x.data, y.data, x.bytes()) == 0;
    };
    return equal("class_embedder." + table_name, {classes + 1, width}) &&
           equal("timestep_embedder.linear_1.weight", {width, SinusoidMlp::sinusoid_width}) &&
           equal("timestep_embedder.linear_1.bias", {width}) && equal("timestep_embedder.linear_2.weight", {width, width}) &&
           equal("timestep_embedder.linear_2.bias", {width});
}

DiTBlock::DiTBlock(const LoadContext& load, const Scope& scope, const DiTBlockConfig& config)
    : modulation_(Linear::parts(load, scope / "norm1" / "linear", config.sizes.width, config.sizes.width, Modulation::rows)),
      self_(load, scope / "attn1", diffusers_attention_names(), attention_config(config.sizes)),
      mlp_(feed_forward(load, scope / "ff", config.sizes.width)),
      mlp_eps_(config.mlp_eps),
      compute_(load.compute) {}

void DiTBlock::modulate(const ExecContext& ctx, const TensorView& activated, const Modulation& out) const {
    for (std::size_t row = 0; row < modulation_.size(); ++row) modulation_[row].forward(ctx, activated, out.tensors[row]);
}

ModulatedNorm DiTBlock::first_norm(const Modulation& modulation) {
    return attention_norm(modulation, attention_eps);
}

void DiTBlock::forward(const ExecContext& ctx, const TensorView& x, const TensorView& normed, const Modulation& modulation,
                       const ModulatedNorm& next) const {
    const Arena::Mark mark(ctx.scratch);
    const ResidualStream residual{.y = ctx.scratch.take(x.shape, compute_), .stream = x, .normed = normed};
    self_.forward(ctx, normed, residual.y, {.batch = modulation[Modulation::gate_attention].shape[0]});
    residual.add(ctx, modulation[Modulation::gate_attention], mlp_norm(modulation, mlp_eps_));
    mlp_.forward(ctx, normed, residual.y);
    residual.add(ctx, modulation[Modulation::gate_mlp], next);
}

}  // namespace t2i
