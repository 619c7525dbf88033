#include "models/dit_transformer.h"

#include <memory>
#include <vector>

#include "models/dit_block.h"
#include "models/patch_layers.h"

namespace t2i {
namespace {

constexpr float head_eps = 1e-6F;      // norm_out
constexpr std::int64_t head_rows = 2;  // shift, scale (proj_out_1)

struct DiTConfig {
    PatchTransformerConfig base;
    DiTBlockConfig block;
    std::int64_t classes;  // without the unconditional one
};

DiTConfig read_config(const ModelConfig& c) {
    c.only("norm_type", "ada_norm_zero");
    DiTConfig d{};
    d.base = read_patch_transformer_config(c, 32);
    d.block.sizes = d.base.block;
    d.classes = c.integer("num_embeds_ada_norm", 1000);
    d.block.mlp_eps = static_cast<float>(c.number("norm_eps", 1e-5));
    if (!(d.block.mlp_eps > 0)) throw c.error("norm_eps", "must be positive");
    return d;
}

struct Request final : DenoiserRequest {
    Shape latents;
    std::int64_t steps = 0;
    std::vector<float> timesteps;  // of each row of the tables: row step·B + b is picture b's at that step
    Tensor positions;              // [T, width] f32
    Tensor modulations;            // [layers, 6, steps·B, width] f32
    Tensor head_modulations;       // [2, steps·B, width] f32: shift, scale
};

class DiTTransformer final : public Denoiser {
  public:
    DiTTransformer(const LoadContext& load, const DiTConfig& config, const Scope& root)
        : config_(config),
          compute_(load.compute),
          patches_(load, root / "pos_embed" / "proj", root / "proj_out_2",
                   {.channels = config.base.channels,
                    .out_channels = config.base.out_channels,
                    .patch = config.base.patch,
                    .width = config.base.block.width,
                    .sample_size = config.base.sample_size}),
          head_modulation_(Linear::parts(load, root / "proj_out_1", width(), width(), head_rows)) {
        const auto block = [&](std::int64_t i) { return root / "transformer_blocks" / i; };
        const auto embedder = [&](std::int64_t i) { return block(i) / "norm1" / "emb"; };
        for (std::int64_t i = 0; i < config.base.layers; ++i) {
            // Published checkpoints hold the same embedder once a block.
            if (i == 0 || !TimestepLabelEmbedder::same(embedder(i - 1), embedder(i), width(), config.classes))
                embedders_.push_back(std::make_shared<TimestepLabelEmbedder>(load, embedder(i), width(), config.classes));
            else embedders_.push_back(embedders_.back());
            blocks_.emplace_back(load, block(i), config.block);
        }
    }

    [[nodiscard]] std::int64_t channels() const override { return config_.base.channels; }
    [[nodiscard]] std::int64_t sample_size() const override { return config_.base.sample_size; }
    [[nodiscard]] std::int64_t patch() const override { return config_.base.patch; }
    [[nodiscard]] std::int64_t classes() const override { return config_.classes; }

    [[nodiscard]] std::unique_ptr<DenoiserRequest> prepare(const ExecContext& ctx, std::span<const float> timesteps,
                                                           const Shape& latents_shape, std::int64_t text_tokens) const override {
        const TraceSpan span(ctx, "dit_prepare");
        patches_.check(latents_shape);
        T2I_CHECK(!timesteps.empty() && text_tokens == 1, "no timesteps, or not one label a row");
        auto request = std::make_unique<Request>();
        request->latents = latents_shape;
        request->steps = static_cast<std::int64_t>(timesteps.size());
        for (const float t : timesteps)
            request->timesteps.insert(request->timesteps.end(), static_cast<std::size_t>(latents_shape[0]), t);
        request->positions = patches_.positions(ctx.backend, latents_shape);
        const std::int64_t rows = request->steps * latents_shape[0];
        request->modulations = allocate(ctx.backend, {config_.base.layers, Modulation::rows, rows, width()});
        request->head_modulations = allocate(ctx.backend, {head_rows, rows, width()});
        return request;
    }

    // What the norms and gates of every block and of the head are modulated with, for all timesteps and pictures at once.
    void set_text(const ExecContext& ctx, DenoiserRequest& request, const Conditioning& text) const override {
        auto& r = dynamic_cast<Request&>(request);
        T2I_CHECK(static_cast<std::int64_t>(text.labels.size()) == r.latents[0],
                  std::to_string(text.labels.size()) + " labels for latents " + r.latents.text());
        for (const auto label : text.labels) T2I_CHECK(label >= 0 && label <= classes(), "label " + std::to_string(label));
        const Arena::Mark mark(ctx.scratch);
        const Shape rows{r.steps * r.latents[0], width()};
        const TensorView embedded = ctx.scratch.take(rows);
        const TensorView activated = compute_ == DType::f32 ? embedded : ctx.scratch.take(rows, compute_);
        const TimestepLabelEmbedder* made_by = nullptr;
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            if (made_by != embedders_[i].get()) {
                made_by = embedders_[i].get();
                made_by->forward(ctx, r.timesteps, text.labels, embedded);
                ops::unary(ctx, Unary::silu, embedded, embedded);
                if (compute_ != DType::f32) ops::cast(ctx, embedded, activated);
            }
            if (i == 0)  // the head reads the first block's (DiTTransformer2DModel.forward)
                for (std::size_t row = 0; row < head_modulation_.size(); ++row)
                    head_modulation_[row].forward(
                        ctx, activated, r.head_modulations.view.slice(static_cast<std::int64_t>(row), 1).reshaped(rows));
            blocks_[i].modulate(ctx, activated, modulation(r, i, 0, r.steps));
        }
    }

    void forward(const ExecContext& ctx, const DenoiserRequest& request, std::int64_t step, const TensorView& latents,
                 const TensorView& out) const override {
        const TraceSpan span(ctx, "dit_forward");
        const auto& r = dynamic_cast<const Request&>(request);
        T2I_CHECK(latents.shape == r.latents && out.shape == r.latents,
                  "latents " + latents.shape.text() + ", prepared for " + r.latents.text());
        T2I_CHECK(step >= 0 && step < r.steps, "step " + std::to_string(step));
        const Arena::Mark mark(ctx.scratch);
        const TensorView x = ctx.scratch.take({r.latents[0] * r.positions.shape()[0], width()});
        const TensorView normed = ctx.scratch.take(x.shape, compute_);
        patches_.embed(ctx, latents, r.positions, x);
        const auto norm_before = [&](std::size_t layer) {
            if (layer < blocks_.size()) return DiTBlock::first_norm(modulation(r, layer, step, 1));
            return ModulatedNorm{rows_of(r.head_modulations, 0, r, step, 1), rows_of(r.head_modulations, 1, r, step, 1),
                                 head_eps};
        };
        norm_before(0).forward(ctx, x, normed);
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks_[i].forward(ctx, x, normed, modulation(r, i, step, 1), norm_before(i + 1));
        }
        patches_.write(ctx, normed, out);
    }

  private:
    [[nodiscard]] std::int64_t width() const { return config_.base.block.width; }

    // Table number `index` of `tables` [..., steps·B, width], at `count` steps from `step` on: [count·B, width].
    [[nodiscard]] TensorView rows_of(const TensorView& tables, std::int64_t index, const Request& r, std::int64_t step,
                                     std::int64_t count) const {
        const std::int64_t pictures = r.latents[0];
        return tables.reshaped({tables.elements() / width(), width()})
            .slice((index * r.steps + step) * pictures, count * pictures);
    }

    [[nodiscard]] Modulation modulation(const Request& r, std::size_t layer, std::int64_t step, std::int64_t count) const {
        Modulation m;
        for (std::int64_t row = 0; row < Modulation::rows; ++row)
            m.tensors[static_cast<std::size_t>(row)] =
                rows_of(r.modulations, static_cast<std::int64_t>(layer) * Modulation::rows + row, r, step, count);
        return m;
    }

    DiTConfig config_;
    DType compute_;
    PatchLayers patches_;
    std::vector<Linear> head_modulation_;                                  // of the head's shift and scale
    std::vector<std::shared_ptr<const TimestepLabelEmbedder>> embedders_;  // one a block
    std::vector<DiTBlock> blocks_;
};

}  // namespace

std::unique_ptr<Denoiser> make_dit_transformer(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    weights.ignore("pos_embed.pos_embed");  // recomputed for every grid
    return std::make_unique<DiTTransformer>(load, read_config(config), weights.root());
}

}  // namespace t2i
