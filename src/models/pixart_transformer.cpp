#include "models/pixart_transformer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "models/pixart_block.h"
#include "nn/sincos.h"

namespace t2i {
namespace {

constexpr std::int64_t sinusoid_width = 256;   // of a timestep before its MLP (diffusers, Timesteps)
constexpr float head_eps = 1e-6F;              // norm_out
constexpr std::int64_t pixels_per_latent = 8;  // of the only autoencoders PixArt was trained with

struct PixArtConfig {
    PixArtBlockConfig block;
    std::int64_t layers, channels, out_channels, sample_size, patch;
    std::optional<std::int64_t> caption_width;  // absent: the text already has context_width
    double interpolation_scale;
    bool size_conditions;  // picture size and aspect ratio join the timestep
};

PixArtConfig read_config(const ModelConfig& c) {
    c.only("norm_type", "ada_norm_single");
    c.only("activation_fn", "gelu-approximate");
    c.only("attention_type", "default");
    if (c.flag("norm_elementwise_affine", false))
        throw c.error("norm_elementwise_affine", "true is not supported");
    PixArtConfig p{};
    p.block.heads = c.integer("num_attention_heads", 16);
    p.block.head_size = c.integer("attention_head_dim", 72);
    p.block.width = p.block.heads * p.block.head_size;
    p.block.context_width = c.integer("cross_attention_dim", 1152);
    p.block.eps = static_cast<float>(c.number("norm_eps", 1e-6));
    p.block.attention_bias = c.flag("attention_bias", true) ? Bias::yes : Bias::no;
    p.layers = c.integer("num_layers", 28);
    p.channels = c.integer("in_channels", 4);
    p.out_channels = c.integer("out_channels", p.channels);  // null: no learned variance
    p.sample_size = c.integer("sample_size", 128);
    p.patch = c.integer("patch_size", 2);
    if (c.has("caption_channels")) p.caption_width = c.integer("caption_channels");
    // A table interpolated for high resolutions: 1 up to 512 pixels, 2 at 1024
    // (PixArtTransformer2DModel.__init__).
    p.interpolation_scale =
        c.number("interpolation_scale", static_cast<double>(std::max<std::int64_t>(p.sample_size / 64, 1)));
    p.size_conditions = c.flag("use_additional_conditions", p.sample_size == 128);

    if (p.block.width % 4 != 0)
        throw c.error("attention_head_dim", "times the heads must be a multiple of 4");
    if (p.caption_width && p.block.context_width != p.block.width)
        throw c.error("cross_attention_dim", "must equal heads times head size where captions are projected");
    if (p.out_channels != p.channels && p.out_channels != 2 * p.channels)
        throw c.error("out_channels", "must be once or twice in_channels");
    if (p.sample_size < p.patch) throw c.error("sample_size", "must not be below patch_size");
    if (!(p.interpolation_scale > 0)) throw c.error("interpolation_scale", "must be positive");
    if (p.size_conditions && p.block.width % 3 != 0)
        throw c.error("use_additional_conditions", "needs a width that is a multiple of 3");
    return p;
}

// adaln_single.emb: the timestep, and with size_conditions the picture's size, as a vector of the model's
// width (diffusers, PixArtAlphaCombinedTimestepSizeEmbeddings).
class TimestepEmbedder {
  public:
    TimestepEmbedder(const LoadContext& load, const Scope& scope, const PixArtConfig& c)
        : compute_(load.compute), timestep_(mlp(load, scope / "timestep_embedder", c.block.width)) {
        if (!c.size_conditions) return;
        resolution_.emplace(mlp(load, scope / "resolution_embedder", c.block.width / 3));
        aspect_ratio_.emplace(mlp(load, scope / "aspect_ratio_embedder", c.block.width / 3));
    }

    // height, width: of the picture, pixels → out [timesteps, width] f32
    void forward(const ExecContext& ctx, std::span<const float> timesteps, float height, float width,
                 const TensorView& out) const {
        const Arena::Mark mark(ctx.scratch);
        std::optional<TensorView> size;
        if (resolution_) {
            const TensorView parts =
                ctx.scratch.take({3, out.shape[1] / 3});  // of the height, the width, the aspect ratio
            embed(ctx, *resolution_, std::array{height, width}, parts.slice(0, 2), {});
            embed(ctx, *aspect_ratio_, std::array{height / width}, parts.slice(2, 1), {});
            size = parts.reshaped({1, out.shape[1]});
        }
        embed(ctx, timestep_, timesteps, out, {.residual = size});
    }

  private:
    static Mlp mlp(const LoadContext& load, const Scope& scope, std::int64_t width) {
        return {load,
                scope / "linear_1",
                scope / "linear_2",
                {.in = sinusoid_width, .hidden = width, .out = width},
                Activation::silu};
    }
    void embed(const ExecContext& ctx, const Mlp& layer, std::span<const float> values, const TensorView& out,
               const Linear::Epilogue& epilogue) const {
        const TensorView waves =
            ctx.scratch.take({static_cast<std::int64_t>(values.size()), sinusoid_width}, compute_);
        ops::timestep_embed(ctx, values, 0.0F, waves);
        layer.forward(ctx, waves, out, epilogue);
    }

    DType compute_;
    Mlp timestep_;
    std::optional<Mlp> resolution_, aspect_ratio_;
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
          patch_embed_(Linear::patches(load, root / "pos_embed" / "proj", config.channels, config.patch,
                                       config.block.width)),
          timestep_(load, root / "adaln_single" / "emb", config),
          modulation_(load, root / "adaln_single" / "linear", config.block.width,
                      PixArtBlock::rows * config.block.width),
          head_table_(load_f32(load, root, "scale_shift_table", {2, config.block.width})),
          head_(load, root / "proj_out", config.block.width,
                config.patch * config.patch * config.out_channels) {
        if (config.caption_width) {
            const Scope captions = root / "caption_projection";
            captions_.emplace(
                load, captions / "linear_1", captions / "linear_2",
                Mlp::Sizes{
                    .in = *config.caption_width, .hidden = config.block.width, .out = config.block.width},
                Activation::gelu_tanh);
        }
        for (std::int64_t i = 0; i < config.layers; ++i)
            blocks_.emplace_back(load, root / "transformer_blocks" / i, config.block);
    }

    [[nodiscard]] std::int64_t channels() const override { return config_.channels; }
    [[nodiscard]] std::int64_t sample_size() const override { return config_.sample_size; }
    [[nodiscard]] std::int64_t patch() const override { return config_.patch; }

    [[nodiscard]] std::unique_ptr<DenoiserRequest> prepare(const ExecContext& ctx, std::span<const float> timesteps,
                                                           const Shape& latents_shape,
                                                           std::int64_t text_tokens) const override {
        const TraceSpan span(ctx, "pixart_prepare");
        check_latents(latents_shape);
        T2I_CHECK(!timesteps.empty() && text_tokens > 0, "no timesteps, or no text");
        const Arena::Mark mark(ctx.scratch);
        auto request = std::make_unique<Request>();
        request->latents = latents_shape;
        request->text_tokens = text_tokens;
        request->lengths = allocate(ctx.backend, {latents_shape[0]}, DType::i32);
        for (const auto& block : blocks_)
            request->keys_values.push_back(
                allocate(ctx.backend, {latents_shape[0] * text_tokens, 2 * block.cross_attention().inner()}, compute_));
        request->positions =
            upload(ctx.backend, sincos_positions({.rows = latents_shape[2] / config_.patch,
                                                  .columns = latents_shape[3] / config_.patch,
                                                  .base = config_.sample_size / config_.patch,
                                                  .interpolation_scale = config_.interpolation_scale},
                                                 config_.block.width));
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
        for (const auto length : text.lengths)
            T2I_CHECK(length >= 1 && length <= s[1], "text length " + std::to_string(length));
        const Arena::Mark mark(ctx.scratch);
        Tensor lengths = Tensor::host({s[0]}, DType::i32);
        std::ranges::copy(text.lengths, lengths.as<std::int32_t>().begin());
        ctx.backend.copy(lengths, r.lengths);
        TensorView context = as_dtype(ctx, text.embeddings.view.reshaped({s[0] * s[1], s[2]}), compute_);
        if (captions_) {
            const TensorView projected = ctx.scratch.take({s[0] * s[1], config_.block.width}, compute_);
            captions_->forward(ctx, context, projected);
            context = projected;
        }
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            blocks_[i].cross_attention().keys_values(ctx, context, r.keys_values[i]);
    }

    void forward(const ExecContext& ctx, const DenoiserRequest& request, std::int64_t step,
                 const TensorView& latents, const TensorView& out) const override {
        const TraceSpan span(ctx, "pixart_forward");
        const auto& r = dynamic_cast<const Request&>(request);
        T2I_CHECK(latents.shape == r.latents && out.shape == r.latents,
                  "latents " + latents.shape.text() + ", prepared for " + r.latents.text());
        T2I_CHECK(step >= 0 && step < r.modulations.shape()[0], "step " + std::to_string(step));
        const Arena::Mark mark(ctx.scratch);
        const std::int64_t rows = r.latents[0] * r.positions.shape()[0];
        const TensorView x = ctx.scratch.take({rows, config_.block.width});
        const TensorView normed = ctx.scratch.take(x.shape, compute_);
        embed_patches(ctx, latents, r.positions, x);
        const auto norm_before = [&](std::size_t layer) {
            if (layer < blocks_.size())
                return blocks_[layer].first_norm(modulation_of(r, step, static_cast<std::int64_t>(layer)));
            const TensorView head = r.head_modulations.view.slice(step, 1).reshaped({2, config_.block.width});
            return PixArtBlock::Norm{head.slice(0, 1), head.slice(1, 1), head_eps};
        };
        normalise(ctx, x, norm_before(0), normed);
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks_[i].forward(ctx, x, normed, modulation_of(r, step, static_cast<std::int64_t>(i)),
                               {r.keys_values[i], r.lengths}, norm_before(i + 1));
        }
        write_output(ctx, normed, out);
    }

  private:
    void check_latents(const Shape& s) const {
        T2I_CHECK(s.rank() == 4 && s[1] == config_.channels && s[2] > 0 && s[3] > 0 &&
                      s[2] % config_.patch == 0 && s[3] % config_.patch == 0,
                  "latents " + s.text() + " in patches of " + std::to_string(config_.patch));
    }

    // Modulation of one block at one step: [6, width].
    [[nodiscard]] TensorView modulation_of(const Request& r, std::int64_t step, std::int64_t block) const {
        const std::int64_t index = step * config_.layers + block;
        return r.modulations.view
            .reshaped({r.modulations.view.elements() / config_.block.width, config_.block.width})
            .slice(index * PixArtBlock::rows, PixArtBlock::rows);
    }

    // What the norms and gates of every block and of the head are modulated with, for all timesteps at once.
    void prepare_timesteps(const ExecContext& ctx, std::span<const float> timesteps, Request& r) const {
        const auto steps = static_cast<std::int64_t>(timesteps.size());
        const std::int64_t width = config_.block.width;
        const TensorView embedded = ctx.scratch.take({steps, width});
        const TensorView activated = ctx.scratch.take({steps, width});
        const TensorView projected = ctx.scratch.take({steps, PixArtBlock::rows * width});
        timestep_.forward(ctx, timesteps, static_cast<float>(r.latents[2] * pixels_per_latent),
                          static_cast<float>(r.latents[3] * pixels_per_latent), embedded);
        ops::unary(ctx, Unary::silu, embedded, activated);
        modulation_.forward(ctx, as_dtype(ctx, activated, compute_), projected);

        r.modulations = allocate(ctx.backend, {steps, config_.layers, PixArtBlock::rows, width});
        r.head_modulations = allocate(ctx.backend, {steps, 2, width});
        for (std::int64_t step = 0; step < steps; ++step) {
            for (std::int64_t i = 0; i < config_.layers; ++i) {
                const TensorView& table = blocks_[static_cast<std::size_t>(i)].table();
                const std::array<LincombTerm, 2> sum{
                    {{1.0, table}, {1.0, projected.slice(step, 1).reshaped(table.shape)}}};
                ops::lincomb(ctx, sum, modulation_of(r, step, i));
            }
            const TensorView head = r.head_modulations.view.slice(step, 1).reshaped({2, width});
            for (std::int64_t row = 0; row < 2; ++row) {
                const std::array<LincombTerm, 2> sum{
                    {{1.0, head_table_.view.slice(row, 1)}, {1.0, embedded.slice(step, 1)}}};
                ops::lincomb(ctx, sum, head.slice(row, 1));
            }
        }
    }

    // x = patches·W + bias + positions
    void embed_patches(const ExecContext& ctx, const TensorView& latents, const TensorView& positions,
                       const TensorView& x) const {
        const Arena::Mark mark(ctx.scratch);
        const TensorView patches =
            ctx.scratch.take({x.shape[0], config_.channels * config_.patch * config_.patch}, compute_);
        ops::patchify(ctx, latents, config_.patch, patches);
        patch_embed_.forward(ctx, patches, x, {.residual = positions});
    }

    static void normalise(const ExecContext& ctx, const TensorView& x, const PixArtBlock::Norm& norm, const TensorView& out) {
        NormModulateArgs a;
        a.x = x;
        a.shift = norm.shift;
        a.scale = norm.scale;
        a.eps = norm.eps;
        a.out = out;
        ops::norm_modulate(ctx, a);
    }

    // A learned variance is computed and left behind by unpatchify.
    void write_output(const ExecContext& ctx, const TensorView& normed, const TensorView& out) const {
        const Arena::Mark mark(ctx.scratch);
        const TensorView tokens = ctx.scratch.take({normed.shape[0], head_.out_features()});
        head_.forward(ctx, normed, tokens);
        ops::unpatchify(ctx, tokens, config_.patch, out);
    }

    PixArtConfig config_;
    DType compute_;
    Linear patch_embed_;
    TimestepEmbedder timestep_;
    Linear modulation_;
    Tensor head_table_;  // [2, width]
    Linear head_;
    std::optional<Mlp> captions_;
    std::vector<PixArtBlock> blocks_;
};

}  // namespace

std::unique_ptr<Denoiser> make_pixart_transformer(const LoadContext& load, const ModelConfig& config,
                                                  WeightStore& weights) {
    weights.ignore("pos_embed.pos_embed");  // recomputed for every grid
    return std::make_unique<PixArtTransformer>(load, read_config(config), weights.root());
}

}  // namespace t2i
