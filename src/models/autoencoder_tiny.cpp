#include "models/autoencoder_tiny.h"

#include <algorithm>
#include <optional>

#include "models/names.h"
#include "nn/resnet.h"

namespace t2i {
namespace {

struct TinyConfig {
    std::int64_t channels;             // the same at every resolution
    std::vector<std::int64_t> blocks;  // per resolution, in the order of execution
    std::int64_t latent_channels;
    double scaling_factor;
    [[nodiscard]] std::int64_t factor() const { return std::int64_t{1} << (blocks.size() - 1); }
};

TinyConfig read_config(const ModelConfig& c, const std::string& part) {
    using List = std::vector<std::int64_t>;
    constexpr std::size_t max_levels = 8;
    c.only("act_fn", "relu");
    c.only("upsample_fn", "nearest");
    if (c.integer("upsampling_scaling_factor", 2) != 2) throw c.error("upsampling_scaling_factor", "must be 2");
    const std::string widths_key = part + "_block_out_channels", blocks_key = "num_" + part + "_blocks";
    const List widths = c.integers(widths_key, List{64, 64, 64, 64});
    const List blocks = c.integers(blocks_key, part == "decoder" ? List{3, 3, 3, 1} : List{1, 3, 3, 3});
    if (blocks.size() != widths.size() || blocks.size() > max_levels)
        throw c.error(blocks_key, "must have as many entries as " + widths_key + ", at most 8");
    for (const auto width : widths)
        if (width != widths.front()) throw c.error(widths_key, "must all be equal");
    const std::string pixels_key = part == "decoder" ? "out_channels" : "in_channels";
    if (c.integer(pixels_key, 3) != 3) throw c.error(pixels_key, "must be 3: pictures are RGB");
    TinyConfig t{.channels = widths.front(),
                 .blocks = blocks,
                 .latent_channels = c.integer("latent_channels", 4),
                 .scaling_factor = c.number("scaling_factor", 1.0)};
    if (t.scaling_factor == 0.0) throw c.error("scaling_factor", "must not be 0");
    return t;
}

// relu(conv(relu(conv(relu(conv(x))))) + x)
class TinyBlock {
  public:
    TinyBlock(const LoadContext& load, const Scope& scope, std::int64_t channels)
        : first_(load, scope / "conv" / 0, {.in = channels, .out = channels}),
          second_(load, scope / "conv" / 2, {.in = channels, .out = channels}),
          third_(load, scope / "conv" / 4, {.in = channels, .out = channels}) {}

    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out) const {
        const TraceSpan span(ctx, "resnet", x.shape);
        const Arena::Mark mark(ctx.scratch);
        const TensorView a = ctx.scratch.take(x.shape, x.dtype), b = ctx.scratch.take(x.shape, x.dtype);
        first_.forward(ctx, x, a, {.activation = Activation::relu});
        second_.forward(ctx, a, b, {.activation = Activation::relu});
        third_.forward(ctx, b, out, {.activation = Activation::relu, .residual = x});
    }

  private:
    Conv2d first_, second_, third_;
};

struct Level {
    std::vector<TinyBlock> blocks;
    std::optional<Conv2d> conv;  // before the blocks in the encoder, after them in the decoder
};

void apply_blocks(const ExecContext& ctx, const Level& level, PicturePair& pictures) {
    for (const auto& block : level.blocks) pictures.apply(ctx, block, pictures.current().shape);
}

// Layers are numbered through, activations and upsampling included (DecoderTiny.__init__).
class TinyDecoder final : public Decoder {
  public:
    TinyDecoder(const LoadContext& load, const TinyConfig& t, const Scope& layers)
        : config_(t), compute_(load.compute), conv_in_(load, layers / 0, {.in = t.latent_channels, .out = t.channels}) {
        std::int64_t index = 2;  // past the first convolution and its ReLU
        for (std::size_t i = 0; i < t.blocks.size(); ++i) {
            const bool last = i + 1 == t.blocks.size();
            Level level;
            for (std::int64_t j = 0; j < t.blocks[i]; ++j) level.blocks.emplace_back(load, layers / index++, t.channels);
            if (!last) ++index;  // the upsampling
            level.conv.emplace(
                load, layers / index++,
                Conv2dConfig{
                    .in = t.channels, .out = last ? 3 : t.channels, .bias = last ? Bias::yes : Bias::no, .upsample = !last});
            levels_.push_back(std::move(level));
        }
    }

    [[nodiscard]] GridFormat reads() const override { return {GridFormat::Kind::latents, config_.latent_channels}; }
    [[nodiscard]] std::int64_t factor() const override { return config_.factor(); }

    void decode(const ExecContext& ctx, const TensorView& latents, const TensorView& rgb) const override {
        const TraceSpan span(ctx, "autoencoder_tiny_decode");
        const Shape& s = latents.shape;
        T2I_CHECK(s.rank() == 4 && s[1] == config_.latent_channels, "latents " + s.text());
        T2I_CHECK(rgb.shape == Shape({s[0], s[2] * factor(), s[3] * factor(), 3}),
                  "rgb " + rgb.shape.text() + " of latents " + s.text());
        const Arena::Mark mark(ctx.scratch);
        const TensorView clamped = ctx.scratch.take(s);
        affine(ctx, latents, 1.0 / config_.scaling_factor, 0.0, clamped);
        ops::unary(ctx, Unary::soft_clamp3, clamped, clamped);
        PicturePair pictures(ctx, compute_, rgb.elements() / 3 * std::max(config_.channels, config_.latent_channels));
        const TensorView z = pictures.next({s[0], s[2], s[3], s[1]});
        ops::to_channels_last(ctx, clamped, z);
        pictures.advance(z);
        const TensorView first = pictures.next(conv_in_.output_shape(z.shape));
        conv_in_.forward(ctx, z, first, {.activation = Activation::relu});
        pictures.advance(first);
        for (std::size_t i = 0; i < levels_.size(); ++i) {
            apply_blocks(ctx, levels_[i], pictures);
            pictures.apply(ctx, *levels_[i].conv, levels_[i].conv->output_shape(pictures.current().shape));
        }
        affine(ctx, as_dtype(ctx, pictures.current(), DType::f32), 2.0, -1.0, rgb);  // from TAESD's [0, 1]
    }

  private:
    TinyConfig config_;
    DType compute_;
    Conv2d conv_in_;
    std::vector<Level> levels_;  // coarsest first
};

class TinyEncoder final : public LatentEncoder {
  public:
    TinyEncoder(const LoadContext& load, const TinyConfig& t, const Scope& layers) : config_(t), compute_(load.compute) {
        std::int64_t index = 0;
        for (std::size_t i = 0; i < t.blocks.size(); ++i) {
            Level level;
            level.conv.emplace(load, layers / index++,
                               i == 0 ? Conv2dConfig{.in = 3, .out = t.channels}
                                      : Conv2dConfig{.in = t.channels, .out = t.channels, .stride = 2, .bias = Bias::no});
            for (std::int64_t j = 0; j < t.blocks[i]; ++j) level.blocks.emplace_back(load, layers / index++, t.channels);
            levels_.push_back(std::move(level));
        }
        conv_out_.emplace(load, layers / index, Conv2dConfig{.in = t.channels, .out = t.latent_channels});
    }

    [[nodiscard]] std::int64_t factor() const override { return config_.factor(); }

    [[nodiscard]] std::int64_t channels() const override { return config_.latent_channels; }
    [[nodiscard]] bool is_random() const override { return false; }

    void encode(const ExecContext& ctx, const TensorView& rgb, const TensorView& latents,
                const TensorView& deviation) const override {
        const TraceSpan span(ctx, "autoencoder_tiny_encode");
        T2I_CHECK(deviation.empty(), "there is no distribution");
        const Shape& s = rgb.shape;
        T2I_CHECK(s.rank() == 4 && s[3] == 3 && s[1] % factor() == 0 && s[2] % factor() == 0, "rgb " + s.text());
        T2I_CHECK(latents.shape == Shape({s[0], config_.latent_channels, s[1] / factor(), s[2] / factor()}),
                  "latents " + latents.shape.text() + " of rgb " + s.text());
        const Arena::Mark mark(ctx.scratch);
        const TensorView unit = ctx.scratch.take(s);
        affine(ctx, rgb, 0.5, 0.5, unit);  // to TAESD's [0, 1]
        PicturePair pictures(ctx, compute_, s[0] * s[1] * s[2] * std::max(config_.channels, config_.latent_channels));
        pictures.advance(as_dtype(ctx, unit, compute_));
        for (const auto& level : levels_) {
            pictures.apply(ctx, *level.conv, level.conv->output_shape(pictures.current().shape));
            apply_blocks(ctx, level, pictures);
        }
        pictures.apply(ctx, *conv_out_, conv_out_->output_shape(pictures.current().shape));
        ops::to_channels_first(ctx, pictures.current(), latents);
        affine(ctx, latents, config_.scaling_factor, 0.0, latents);
    }

  private:
    TinyConfig config_;
    DType compute_;
    std::vector<Level> levels_;  // finest first
    std::optional<Conv2d> conv_out_;
};

}  // namespace

std::unique_ptr<Decoder> make_tiny_decoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    rename_taesd(weights, "decoder");
    ignore_prefix(weights, "encoder.");
    return std::make_unique<TinyDecoder>(load, read_config(config, "decoder"), weights.root() / "decoder" / "layers");
}

std::unique_ptr<LatentEncoder> make_tiny_encoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    rename_taesd(weights, "encoder");
    ignore_prefix(weights, "decoder.");
    return std::make_unique<TinyEncoder>(load, read_config(config, "encoder"), weights.root() / "encoder" / "layers");
}

std::int64_t read_tiny_factor(const ModelConfig& config) {
    return read_config(config, "decoder").factor();
}

}  // namespace t2i
