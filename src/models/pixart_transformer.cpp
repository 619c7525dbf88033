#include "models/pixart_transformer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "models/patch_layers.h"
#include "models/pixart_block.h"

namespace t2i {
namespace {

constexpr float head_eps = 1e-6F;  // norm_out

struct PixArtConfig {
    PatchTransformerConfig base;
    PixArtBlockConfig block;
    std::optional<std::int64_t> caption_width;  // absent: the text already has context_width
    double interpolation_scale;
    bool size_conditions;          // picture size and aspect ratio join the timestep
    bool size_conditions_implied;  // the config is silent, and its class would have them
};

PixArtConfig read_config(const ModelConfig& c) {
    c.only("norm_type", "ada_norm_single");
    c.only("attention_type", "default");
    PixArtConfig p{};
    p.base = read_patch_transformer_config(c, {.sample_size = 128, .out_channels = 8});
    p.block.sizes = p.base.block;
    p.block.context_width = c.integer("cross_attention_dim", 1152);
    p.block.eps = static_cast<float>(c.number("norm_eps", 1e-6));
    if (c.has("caption_channels")) p.caption_width = c.integer("caption_channels");
    // A table interpolated for high resolutions: 1 up to 512 pixels, 2 at 1024
    // (PixArtTransformer2DModel.__init__).
    p.interpolation_scale =
        c.number("interpolation_scale", static_cast<double>(std::max<std::int64_t>(p.base.sample_size / 64, 1)));
    p.size_conditions = c.flag("use_additional_conditions", p.base.sample_size == 128);
    p.size_conditions_implied = p.size_conditions && !c.has("use_additional_conditions");

    if (p.caption_width && p.block.context_width != p.base.block.width)
        throw c.error("cross_attention_dim", "must equal heads times head size where captions are projected");
    if (!(p.interpolation_scale > 0)) throw c.error("interpolation_scale", "must be positive");
    if (p.size_conditions && p.base.block.width % 3 != 0)
        throw c.error("use_additional_conditions", "needs a width that is a multiple of 3");
    return p;
}

// adaln_single.emb: the timestep, and with size_conditions the picture's size, as a vector of the model's
// width (diffusers, PixArtAlphaCombinedTimestepSizeEmbeddings).
class TimestepEmbedder {
  public:
    TimestepEmbedder(const LoadContext& load, const Scope& scope, const PixArtConfig& c)
        : timestep_(load, scope / "timestep_embedder", c.base.block.width, 0.0F) {
        if (!c.size_conditions) return;
        resolution_.emplace(load, scope / "resolution_embedder", c.base.block.width / 3, 0.0F);
        aspect_ratio_.emplace(load, scope / "aspect_ratio_embedder", c.base.block.width / 3, 0.0F);
    }

    // height, width: of the picture, pixels → out [timesteps, width] f32
    void forward(const ExecContext& ctx, std::span<const float> timesteps, float height, float width,
                 const TensorView& out) const {
        const Arena::Mark mark(ctx.scratch);
        std::optional<TensorView> size;
        if (resolution_) {
            const TensorView parts = ctx.scratch.take({3, out.shape[1] / 3});  // of the height, the width, the aspect ratio
            resolution_->forward(ctx, std::array{height, width}, parts.slice(0, 2));
            aspect_ratio_->forward(ctx, std::array{height / width}, parts.slice(2, 1));
            size = parts.reshaped({1, out.shape[1]});
        }
        timestep_.forward(ctx, timesteps, out, {.residual = size});
    }

  private:
    SinusoidMlp timestep_;
    std::optional<SinusoidMlp> resolution_, aspect_ratio_;
};

// The weights, which every run reads.
struct PixArtWeights {
    PixArtWeights(const LoadContext& load, const PixArtConfig& c, const Scope& root)
        : config(c),
          compute(load.compute),
          patches(load, root / "pos_embed" / "proj", root / "proj_out",
                  {.channels = c.base.channels,
                   .out_channels = c.base.out_channels,
                   .patch = c.base.patch,
                   .width = c.base.block.width,
                   .sample_size = c.base.sample_size,
                   .interpolation_scale = c.interpolation_scale}),
          timestep(load, root / "adaln_single" / "emb", c),
          modulation(load, root / "adaln_single" / "linear", width(), Modulation::rows * width()),
          head_table(load_f32(load, root, "scale_shift_table", {2, width()})) {
        if (c.caption_width) {
            const Scope projection = root / "caption_projection";
            captions.emplace(load, projection / "linear_1", projection / "linear_2",
                             Mlp::Sizes{.in = *c.caption_width, .hidden = width(), .out = width()}, Activation::gelu_tanh);
        }
        for (std::int64_t i = 0; i < c.base.layers; ++i) blocks.emplace_back(load, root / "transformer_blocks" / i, c.block);
    }
    [[nodiscard]] std::int64_t width() const { return config.base.block.width; }
    [[nodiscard]] std::int64_t text_width() const { return config.caption_width.value_or(config.block.context_width); }

    PixArtConfig config;
    DType compute;
    PatchLayers patches;
    TimestepEmbedder timestep;
    Linear modulation;
    Tensor head_table;  // [2, width]
    std::optional<Mlp> captions;
    std::vector<PixArtBlock> blocks;
};

class PixArtRun final : public DenoiserRun {
  public:
    PixArtRun(const ExecContext& ctx, const PixArtWeights& weights, const Denoiser::Begin& begin)
        : weights_(weights),
          latents_(begin.latents),
          pixels_per_latent_(begin.pixels_per_latent),
          text_rows_(begin.text_rows),
          lengths_(allocate(ctx.backend, {begin.latents[0]}, DType::i32)) {
        for (const auto& block : weights.blocks)
            keys_values_.push_back(
                allocate(ctx.backend, {latents_[0] * text_rows_, 2 * block.cross_attention().inner()}, weights.compute));
        positions_ = weights.patches.positions(ctx.backend, latents_);
        modulate(ctx, begin.timesteps);
    }

    // The text's keys and values for every block: they do not depend on the step.
    void condition(const ExecContext& ctx, const Conditioning& conditioning) override {
        const auto* text = std::get_if<TextConditioning>(&conditioning);
        T2I_CHECK(text, "labels where texts are read");
        const Shape& s = text->embeddings.shape();
        T2I_CHECK(s == Shape({latents_[0], text_rows_, weights_.text_width()}) &&
                      static_cast<std::int64_t>(text->lengths.size()) == s[0],
                  "text " + s.text() + " for latents " + latents_.text());
        for (const auto length : text->lengths) T2I_CHECK(length >= 1 && length <= s[1], "text length " + std::to_string(length));
        const Arena::Mark mark(ctx.scratch);
        Tensor lengths = Tensor::host({s[0]}, DType::i32);
        std::ranges::copy(text->lengths, lengths.as<std::int32_t>().begin());
        ctx.backend.copy(lengths, lengths_);
        TensorView context = as_dtype(ctx, text->embeddings.view.reshaped({s[0] * s[1], s[2]}), weights_.compute);
        if (weights_.captions) {
            const TensorView projected = ctx.scratch.take({s[0] * s[1], width()}, weights_.compute);
            weights_.captions->forward(ctx, context, projected);
            context = projected;
        }
        for (std::size_t i = 0; i < weights_.blocks.size(); ++i)
            weights_.blocks[i].cross_attention().keys_values(ctx, context, keys_values_[i]);
    }

    void predict(const ExecContext& ctx, std::int64_t step, const TensorView& latents, const TensorView& out) const override {
        const TraceSpan span(ctx, "pixart_forward");
        T2I_CHECK(latents.shape == latents_ && out.shape == latents_,
                  "latents " + latents.shape.text() + ", begun for " + latents_.text());
        T2I_CHECK(step >= 0 && step < modulations_.shape()[0], "step " + std::to_string(step));
        const Arena::Mark mark(ctx.scratch);
        const auto& blocks = weights_.blocks;
        const TensorView x = ctx.scratch.take({latents_[0] * positions_.shape()[0], width()});
        const TensorView normed = ctx.scratch.take(x.shape, weights_.compute);
        weights_.patches.embed(ctx, latents, positions_, x);
        const auto modulation = [&](std::size_t layer) {
            return Modulation::of(modulation_table(step, static_cast<std::int64_t>(layer)));
        };
        const auto norm_before = [&](std::size_t layer) {
            if (layer < blocks.size()) return blocks[layer].first_norm(modulation(layer));
            const TensorView head = head_modulations_.view.slice(step, 1).reshaped({2, width()});
            return ModulatedNorm{head.slice(0, 1), head.slice(1, 1), head_eps};
        };
        norm_before(0).forward(ctx, x, normed);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks[i].forward(ctx, x, normed, modulation(i), {keys_values_[i], lengths_}, norm_before(i + 1));
        }
        weights_.patches.write(ctx, normed, out);
    }

  private:
    [[nodiscard]] std::int64_t width() const { return weights_.width(); }

    // Modulation of one block at one step: [6, width].
    [[nodiscard]] TensorView modulation_table(std::int64_t step, std::int64_t block) const {
        const std::int64_t index = step * weights_.config.base.layers + block;
        return modulations_.view.reshaped({modulations_.view.elements() / width(), width()})
            .slice(index * Modulation::rows, Modulation::rows);
    }

    // What the norms and gates of every block and of the head are modulated with, for all timesteps at once.
    void modulate(const ExecContext& ctx, std::span<const float> timesteps) {
        const Arena::Mark mark(ctx.scratch);
        const auto steps = static_cast<std::int64_t>(timesteps.size());
        const TensorView embedded = ctx.scratch.take({steps, width()});
        const TensorView activated = ctx.scratch.take({steps, width()});
        const TensorView projected = ctx.scratch.take({steps, Modulation::rows * width()});
        weights_.timestep.forward(ctx, timesteps, static_cast<float>(latents_[2] * pixels_per_latent_),
                                  static_cast<float>(latents_[3] * pixels_per_latent_), embedded);
        ops::unary(ctx, Unary::silu, embedded, activated);
        weights_.modulation.forward(ctx, as_dtype(ctx, activated, weights_.compute), projected);

        modulations_ = allocate(ctx.backend, {steps, weights_.config.base.layers, Modulation::rows, width()});
        head_modulations_ = allocate(ctx.backend, {steps, 2, width()});
        for (std::int64_t step = 0; step < steps; ++step) {
            for (std::int64_t i = 0; i < weights_.config.base.layers; ++i) {
                const TensorView& table = weights_.blocks[static_cast<std::size_t>(i)].table();
                const std::array<LincombTerm, 2> sum{{{1.0, table}, {1.0, projected.slice(step, 1).reshaped(table.shape)}}};
                ops::lincomb(ctx, sum, modulation_table(step, i));
            }
            const TensorView head = head_modulations_.view.slice(step, 1).reshaped({2, width()});
            for (std::int64_t row = 0; row < 2; ++row) {
                const std::array<LincombTerm, 2> sum{
                    {{1.0, weights_.head_table.view.slice(row, 1)}, {1.0, embedded.slice(step, 1)}}};
                ops::lincomb(ctx, sum, head.slice(row, 1));
            }
        }
    }

    const PixArtWeights& weights_;
    Shape latents_;
    std::int64_t pixels_per_latent_;
    std::int64_t text_rows_;           // L
    Tensor lengths_;                   // [B] i32: valid text tokens
    std::vector<Tensor> keys_values_;  // per block [B·L, 2·width], compute dtype
    Tensor positions_;                 // [T, width] f32
    Tensor modulations_;               // [steps, layers, 6, width] f32
    Tensor head_modulations_;          // [steps, 2, width] f32: shift, scale
};

class PixArtTransformer final : public Denoiser {
  public:
    PixArtTransformer(const LoadContext& load, const PixArtConfig& config, const Scope& root) : weights_(load, config, root) {}

    [[nodiscard]] std::int64_t channels() const override { return weights_.config.base.channels; }
    [[nodiscard]] std::int64_t text_width() const override { return weights_.text_width(); }

    [[nodiscard]] std::unique_ptr<DenoiserRun> begin(const ExecContext& ctx, const Begin& begin) const override {
        const TraceSpan span(ctx, "pixart_prepare");
        weights_.patches.check(begin.latents);
        T2I_CHECK(!begin.timesteps.empty() && begin.text_rows > 0, "no timesteps, or no text");
        return std::make_unique<PixArtRun>(ctx, weights_, begin);
    }

  private:
    PixArtWeights weights_;
};

}  // namespace

std::unique_ptr<Denoiser> make_pixart_transformer(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    weights.ignore("pos_embed.pos_embed");  // recomputed for every grid
    PixArtConfig pixart = read_config(config);
    // Copies of PixArt-Sigma-XL-2-1024-MS from before its config had the key were trained without.
    if (pixart.size_conditions_implied)
        pixart.size_conditions = (weights.root() / "adaln_single" / "emb" / "resolution_embedder" / "linear_1").has("weight");
    return std::make_unique<PixArtTransformer>(load, pixart, weights.root());
}

GridSizes read_pixart_sizes(const ModelConfig& config) {
    const PatchTransformerConfig base = read_config(config).base;
    return {.side = base.sample_size, .multiple = base.patch};
}

}  // namespace t2i
