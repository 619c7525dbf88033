#include "models/dit_transformer.h"

#include <algorithm>
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
    // facebook's model (facebookresearch/DiT, models.py) and diffusers' of the same weights are not the same function.
    bool is_facebooks;
    // Of the timestep's frequencies: over 128 (TimestepEmbedder.timestep_embedding), or over 127
    // (CombinedTimestepLabelEmbeddings).
    [[nodiscard]] float frequency_shift() const { return is_facebooks ? 0.0F : 1.0F; }
};

DiTConfig read_config(const ModelConfig& c) {
    c.only("norm_type", "ada_norm_zero");
    DiTConfig d{};
    d.base = read_patch_transformer_config(c, {.sample_size = 32, .out_channels = 0});
    d.block.sizes = d.base.block;
    d.classes = c.integer("num_embeds_ada_norm", 1000);
    d.is_facebooks = c.text("_class_name", "") == "DiT";
    d.block.mlp_eps = static_cast<float>(c.number("norm_eps", 1e-5));
    if (!(d.block.mlp_eps > 0)) throw c.error("norm_eps", "must be positive");
    return d;
}

// The weights, which every run reads.
struct DiTWeights {
    DiTWeights(const LoadContext& load, const DiTConfig& c, const Scope& root)
        : config(c),
          compute(load.compute),
          patches(load, root / "pos_embed" / "proj", root / "proj_out_2",
                  {.channels = c.base.channels,
                   .out_channels = c.base.out_channels,
                   .patch = c.base.patch,
                   .width = c.base.block.width,
                   .sample_size = c.base.sample_size}),
          head_modulation(Linear::parts(load, root / "proj_out_1", width(), width(), head_rows)) {
        const auto block = [&](std::int64_t i) { return root / "transformer_blocks" / i; };
        const auto embedder = [&](std::int64_t i) { return block(i) / "norm1" / "emb"; };
        for (std::int64_t i = 0; i < c.base.layers; ++i) {
            // Published checkpoints hold the same embedder once a block.
            if (i == 0 || !TimestepLabelEmbedder::same(embedder(i - 1), embedder(i), width(), c.classes))
                embedders.push_back(
                    std::make_shared<TimestepLabelEmbedder>(load, embedder(i), width(), c.classes, c.frequency_shift()));
            else embedders.push_back(embedders.back());
            blocks.emplace_back(load, block(i), c.block);
        }
    }
    [[nodiscard]] std::int64_t width() const { return config.base.block.width; }

    DiTConfig config;
    DType compute;
    PatchLayers patches;
    std::vector<Linear> head_modulation;                                  // of the head's shift and scale
    std::vector<std::shared_ptr<const TimestepLabelEmbedder>> embedders;  // one a block
    std::vector<DiTBlock> blocks;
};

class DiTRun final : public DenoiserRun {
  public:
    DiTRun(const ExecContext& ctx, const DiTWeights& weights, const Denoiser::Begin& begin)
        : weights_(weights),
          latents_(begin.latents),
          out_{begin.latents[0], begin.latents[1] * (begin.with_variance ? 2 : 1), begin.latents[2], begin.latents[3]},
          steps_(static_cast<std::int64_t>(begin.timesteps.size())),
          positions_(weights.patches.positions(ctx.backend, begin.latents)),
          modulations_(allocate(ctx.backend, {weights.config.base.layers, Modulation::rows, steps_ * latents_[0], width()})),
          head_modulations_(allocate(ctx.backend, {head_rows, steps_ * latents_[0], width()})) {
        for (const float t : begin.timesteps) timesteps_.insert(timesteps_.end(), static_cast<std::size_t>(latents_[0]), t);
    }

    // What the norms and gates of every block and of the head are modulated with, for all timesteps and pictures at once.
    void condition(const ExecContext& ctx, const Conditioning& conditioning) override {
        const auto* given = std::get_if<LabelConditioning>(&conditioning);
        T2I_CHECK(given && static_cast<std::int64_t>(given->labels.size()) == latents_[0],
                  "not a label for each of the latents " + latents_.text());
        const std::vector<std::int32_t>& labels = given->labels;
        for (const auto label : labels)
            T2I_CHECK(label >= 0 && label <= weights_.config.classes, "label " + std::to_string(label));
        const Arena::Mark mark(ctx.scratch);
        const Shape rows{steps_ * latents_[0], width()};
        const TensorView embedded = ctx.scratch.take(rows);
        const TensorView activated = weights_.compute == DType::f32 ? embedded : ctx.scratch.take(rows, weights_.compute);
        const TimestepLabelEmbedder* made_by = nullptr;
        for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
            if (made_by != weights_.embedders[i].get()) {
                made_by = weights_.embedders[i].get();
                made_by->forward(ctx, timesteps_, labels, embedded);
                ops::unary(ctx, Unary::silu, embedded, embedded);
                if (weights_.compute != DType::f32) ops::cast(ctx, embedded, activated);
            }
            if (i == 0)  // the head reads the first block's (DiTTransformer2DModel.forward)
                for (std::size_t row = 0; row < weights_.head_modulation.size(); ++row)
                    weights_.head_modulation[row].forward(
                        ctx, activated, head_modulations_.view.slice(static_cast<std::int64_t>(row), 1).reshaped(rows));
            weights_.blocks[i].modulate(ctx, activated, modulation(i, 0, steps_));
        }
    }

    void predict(const ExecContext& ctx, std::int64_t step, const TensorView& latents, const TensorView& out) const override {
        const TraceSpan span(ctx, "dit_forward");
        T2I_CHECK(latents.shape == latents_ && out.shape == out_, "latents " + latents.shape.text() + " to " + out.shape.text() +
                                                                      ", begun for " + latents_.text() + " to " + out_.text());
        T2I_CHECK(step >= 0 && step < steps_, "step " + std::to_string(step));
        const Arena::Mark mark(ctx.scratch);
        const auto& blocks = weights_.blocks;
        const TensorView x = ctx.scratch.take({latents_[0] * positions_.shape()[0], width()});
        const TensorView normed = ctx.scratch.take(x.shape, weights_.compute);
        weights_.patches.embed(ctx, latents, positions_, x);
        const auto norm_before = [&](std::size_t layer) {
            if (layer < blocks.size()) return DiTBlock::first_norm(modulation(layer, step, 1));
            return ModulatedNorm{rows_of(head_modulations_, 0, step, 1), rows_of(head_modulations_, 1, step, 1), head_eps};
        };
        norm_before(0).forward(ctx, x, normed);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks[i].forward(ctx, x, normed, modulation(i, step, 1), norm_before(i + 1));
        }
        weights_.patches.write(ctx, normed, out);
    }

  private:
    [[nodiscard]] std::int64_t width() const { return weights_.width(); }

    // Table number `index` of `tables` [..., steps·B, width], at `count` steps from `step` on: [count·B, width].
    [[nodiscard]] TensorView rows_of(const TensorView& tables, std::int64_t index, std::int64_t step, std::int64_t count) const {
        return tables.reshaped({tables.elements() / width(), width()})
            .slice((index * steps_ + step) * latents_[0], count * latents_[0]);
    }

    [[nodiscard]] Modulation modulation(std::size_t layer, std::int64_t step, std::int64_t count) const {
        Modulation m;
        for (std::int64_t row = 0; row < Modulation::rows; ++row)
            m.tensors[static_cast<std::size_t>(row)] =
                rows_of(modulations_, static_cast<std::int64_t>(layer) * Modulation::rows + row, step, count);
        return m;
    }

    const DiTWeights& weights_;
    Shape latents_, out_;
    std::int64_t steps_;
    std::vector<float> timesteps_;  // of each row of the tables: row step·B + b is picture b's at that step
    Tensor positions_;              // [T, width] f32
    Tensor modulations_;            // [layers, 6, steps·B, width] f32
    Tensor head_modulations_;       // [2, steps·B, width] f32: shift, scale
};

class DiTTransformer final : public Denoiser {
  public:
    DiTTransformer(const LoadContext& load, const DiTConfig& config, const Scope& root) : weights_(load, config, root) {}

    [[nodiscard]] std::int64_t channels() const override { return weights_.config.base.channels; }
    [[nodiscard]] std::int64_t classes() const override { return weights_.config.classes; }
    // facebook guides three of four channels, "for exact reproducibility reasons" (DiT.forward_with_cfg).
    [[nodiscard]] std::int64_t guided_channels() const override {
        constexpr std::int64_t facebooks = 3;
        return weights_.config.is_facebooks ? std::min(facebooks, channels()) : channels();
    }
    [[nodiscard]] bool predicts_variance() const override { return weights_.config.base.out_channels == 2 * channels(); }

    [[nodiscard]] std::unique_ptr<DenoiserRun> begin(const ExecContext& ctx, const Begin& begin) const override {
        const TraceSpan span(ctx, "dit_prepare");
        weights_.patches.check(begin.latents);
        T2I_CHECK(!begin.timesteps.empty() && begin.text_rows == 0, "no timesteps, or texts where labels are read");
        T2I_CHECK(!begin.with_variance || predicts_variance(), "the variance of a model that predicts none");
        return std::make_unique<DiTRun>(ctx, weights_, begin);
    }

  private:
    DiTWeights weights_;
};

}  // namespace

std::unique_ptr<Denoiser> make_dit_transformer(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    weights.ignore("pos_embed.pos_embed");  // recomputed for every grid
    return std::make_unique<DiTTransformer>(load, read_config(config), weights.root());
}

GridSizes read_dit_sizes(const ModelConfig& config) {
    const PatchTransformerConfig base = read_config(config).base;
    return {.side = base.sample_size, .multiple = base.patch};
}

}  // namespace t2i
