#include "models/pixart_transformer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "models/patch_layers.h"
#include "models/pixart_block.h"

namespace t2i {
namespace {

constexpr float head_eps = 1e-6F;              // norm_out
constexpr std::int64_t pixels_per_latent = 8;  // of the only autoencoders PixArt was trained with

struct PixArtConfig {
    PatchTransformerConfig base;
    PixArtBlockConfig block;
    std::optional<std::int64_t> caption_width;  // absent: the text already has context_width
    double interpolation_scale;
    bool size_conditions;  // picture size and aspect ratio join the timestep
};

PixArtConfig read_config(const ModelConfig& c) {
    c.only("norm_type", "ada_norm_single");
    c.only("attention_type", "default");
    PixArtConfig p{};
    p.base = read_patch_transformer_config(c, 128);
    p.block.sizes = p.base.block;
    p.block.context_width = c.integer("cross_attention_dim", 1152);
    p.block.eps = static_cast<float>(c.number("norm_eps", 1e-6));
    if (c.has("caption_channels")) p.caption_width = c.integer("caption_channels");
    // A table interpolated for high resolutions: 1 up to 512 pixels, 2 at 1024
    // (PixArtTransformer2DModel.__init__).
    p.interpolation_scale =
        c.number("interpolation_scale", static_cast<double>(std::max<std::int64_t>(p.base.sample_size / 64, 1)));
    p.size_conditions = c.flag("use_additional_conditions", p.base.sample_size == 128);

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

struct Request final : DenoiserRequest {
    Shape latents;
    std::int64_t text_tokens = 0;     // L
    Tensor lengths;                   // [B] i32: valid text tokens
    std::vector<Tensor> keys_values;  // per block [B·L, 2·width], compute dtype
    Tensor positions;                 // [T, width] f32
    Tensor modulations;               // [steps, layers, 6, width] f32
    Tensor head_modulations;          // [steps, 2, width] f32: shift, scale
};

class PixArtTransformer final : public Denoiser {
  public:
    PixArtTransformer(const LoadContext& load, const PixArtConfig& config, const Scope& root)
        : config_(config),
          compute_(load.compute),
          patches_(load, root / "pos_embed" / "proj", root / "proj_out",
                   {.channels = config.base.channels,
                    .out_channels = config.base.out_channels,
                    .patch = config.base.patch,
                    .width = config.base.block.width,
                    .sample_size = config.base.sample_size,
                    .interpolation_scale = config.interpolation_scale}),
          timestep_(load, root / "adaln_single" / "emb", config),
          modulation_(load, root / "adaln_single" / "linear", width(), Modulation::rows * width()),
          head_table_(load_f32(load, root, "scale_shift_table", {2, width()})) {
        if (config.caption_width) {
            const Scope captions = root / "caption_projection";
            captions_.emplace(load, captions / "linear_1", captions / "linear_2",
                              Mlp::Sizes{.in = *config.caption_width, .hidden = width(), .out = width()}, Activation::gelu_tanh);
        }
        for (std::int64_t i = 0; i < config.base.layers; ++i)
            blocks_.emplace_back(load, root / "transformer_blocks" / i, config.block);
    }

    [[nodiscard]] std::int64_t channels() const override { return config_.base.channels; }
    [[nodiscard]] std::int64_t sample_size() const override { return config_.base.sample_size; }
    [[nodiscard]] std::int64_t patch() const override { return config_.base.patch; }

    [[nodiscard]] std::unique_ptr<DenoiserRequest> prepare(const ExecContext& ctx, std::span<const float> timesteps,
                                                           const Shape& latents_shape, std::int64_t text_tokens) const override {
        const TraceSpan span(ctx, "pixart_prepare");
        patches_.check(latents_shape);
        T2I_CHECK(!timesteps.empty() && text_tokens > 0, "no timesteps, or no text");
        const Arena::Mark mark(ctx.scratch);
        auto request = std::make_unique<Request>();
        request->latents = latents_shape;
        request->text_tokens = text_tokens;
        request->lengths = allocate(ctx.backend, {latents_shape[0]}, DType::i32);
        for (const auto& block : blocks_)
            request->keys_values.push_back(
                allocate(ctx.backend, {latents_shape[0] * text_tokens, 2 * block.cross_attention().inner()}, compute_));
        request->positions = patches_.positions(ctx.backend, latents_shape);
        prepare_timesteps(ctx, timesteps, *request);
        return request;
    }

    // The text's keys and values for every block: they do not depend on the step.
    void set_text(const ExecContext& ctx, DenoiserRequest& request, const Conditioning& text) const override {
        auto& r = dynamic_cast<Request&>(request);
        const Shape& s = text.embeddings.shape();
        T2I_CHECK(s.rank() == 3 && s[0] == r.latents[0] && s[1] == r.text_tokens &&
                      s[2] == config_.caption_width.value_or(config_.block.context_width) &&
                      static_cast<std::int64_t>(text.lengths.size()) == s[0],
                  "text " + s.text() + " for latents " + r.latents.text());
        for (const auto length : text.lengths) T2I_CHECK(length >= 1 && length <= s[1], "text length " + std::to_string(length));
        const Arena::Mark mark(ctx.scratch);
        Tensor lengths = Tensor::host({s[0]}, DType::i32);
        std::ranges::copy(text.lengths, lengths.as<std::int32_t>().begin());
        ctx.backend.copy(lengths, r.lengths);
        TensorView context = as_dtype(ctx, text.embeddings.view.reshaped({s[0] * s[1], s[2]}), compute_);
        if (captions_) {
            const TensorView projected = ctx.scratch.take({s[0] * s[1], width()}, compute_);
            captions_->forward(ctx, context, projected);
            context = projected;
        }
        for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i].cross_attention().keys_values(ctx, context, r.keys_values[i]);
    }

    void forward(const ExecContext& ctx, const DenoiserRequest& request, std::int64_t step, const TensorView& latents,
                 const TensorView& out) const override {
        const TraceSpan span(ctx, "pixart_forward");
        const auto& r = dynamic_cast<const Request&>(request);
        T2I_CHECK(latents.shape == r.latents && out.shape == r.latents,
                  "latents " + latents.shape.text() + ", prepared for " + r.latents.text());
        T2I_CHECK(step >= 0 && step < r.modulations.shape()[0], "step " + std::to_string(step));
        const Arena::Mark mark(ctx.scratch);
        const std::int64_t rows = r.latents[0] * r.positions.shape()[0];
        const TensorView x = ctx.scratch.take({rows, width()});
        const TensorView normed = ctx.scratch.take(x.shape, compute_);
        patches_.embed(ctx, latents, r.positions, x);
        const auto modulation = [&](std::size_t layer) {
            return Modulation::of(modulation_table(r, step, static_cast<std::int64_t>(layer)));
        };
        const auto norm_before = [&](std::size_t layer) {
            if (layer < blocks_.size()) return blocks_[layer].first_norm(modulation(layer));
            const TensorView head = r.head_modulations.view.slice(step, 1).reshaped({2, width()});
            return ModulatedNorm{head.slice(0, 1), head.slice(1, 1), head_eps};
        };
        norm_before(0).forward(ctx, x, normed);
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks_[i].forward(ctx, x, normed, modulation(i), {r.keys_values[i], r.lengths}, norm_before(i + 1));
        }
        patches_.write(ctx, normed, out);
    }

  private:
    [[nodiscard]] std::int64_t width() const { return config_.base.block.width; }

    // Modulation of one block at one step: [6, width].
    [[nodiscard]] TensorView modulation_table(const Request& r, std::int64_t step, std::int64_t block) const {
        const std::int64_t index = step * config_.base.layers + block;
        return r.modulations.view.reshaped({r.modulations.view.elements() / width(), width()})
            .slice(index * Modulation::rows, Modulation::rows);
    }

    // What the norms and gates of every block and of the head are modulated with, for all timesteps at once.
    void prepare_timesteps(const ExecContext& ctx, std::span<const float> timesteps, Request& r) const {
        const auto steps = static_cast<std::int64_t>(timesteps.size());
        const TensorView embedded = ctx.scratch.take({steps, width()});
        const TensorView activated = ctx.scratch.take({steps, width()});
        const TensorView projected = ctx.scratch.take({steps, Modulation::rows * width()});
        timestep_.forward(ctx, timesteps, static_cast<float>(r.latents[2] * pixels_per_latent),
                          static_cast<float>(r.latents[3] * pixels_per_latent), embedded);
        ops::unary(ctx, Unary::silu, embedded, activated);
        modulation_.forward(ctx, as_dtype(ctx, activated, compute_), projected);

        r.modulations = allocate(ctx.backend, {steps, config_.base.layers, Modulation::rows, width()});
        r.head_modulations = allocate(ctx.backend, {steps, 2, width()});
        for (std::int64_t step = 0; step < steps; ++step) {
            for (std::int64_t i = 0; i < config_.base.layers; ++i) {
                const TensorView& table = blocks_[static_cast<std::size_t>(i)].table();
                const std::array<LincombTerm, 2> sum{{{1.0, table}, {1.0, projected.slice(step, 1).reshaped(table.shape)}}};
                ops::lincomb(ctx, sum, modulation_table(r, step, i));
            }
            const TensorView head = r.head_modulations.view.slice(step, 1).reshaped({2, width()});
            for (std::int64_t row = 0; row < 2; ++row) {
                const std::array<LincombTerm, 2> sum{{{1.0, head_table_.view.slice(row, 1)}, {1.0, embedded.slice(step, 1)}}};
                ops::lincomb(ctx, sum, head.slice(row, 1));
            }
        }
    }

    PixArtConfig config_;
    DType compute_;
    PatchLayers patches_;
    TimestepEmbedder timestep_;
    Linear modulation_;
    Tensor head_table_;  // [2, width]
    std::optional<Mlp> captions_;
    std::vector<PixArtBlock> blocks_;
};

}  // namespace

std::unique_ptr<Denoiser> make_pixart_transformer(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    weights.ignore("pos_embed.pos_embed");  // recomputed for every grid
    return std::make_unique<PixArtTransformer>(load, read_config(config), weights.root());
}

}  // namespace t2i
