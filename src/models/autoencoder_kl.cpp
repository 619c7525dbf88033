#include "models/autoencoder_kl.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "models/names.h"
#include "nn/resnet.h"

namespace t2i {
namespace {

struct KlConfig {
    std::vector<std::int64_t> channels;  // per resolution, finest first
    std::int64_t layers, groups, latent_channels;
    bool mid_attention, quant_conv, post_quant_conv;
    double scaling_factor;
    [[nodiscard]] std::int64_t factor() const { return std::int64_t{1} << (channels.size() - 1); }
};

// What the config says of one half of the autoencoder; the other is not looked at.
struct Half {
    const char *types_key, *block, *pixels_key;
};
constexpr Half encoder_half{"down_block_types", "DownEncoderBlock2D", "in_channels"};
constexpr Half decoder_half{"up_block_types", "UpDecoderBlock2D", "out_channels"};

// shift_factor, latents_mean and latents_std are for pipelines that read them; those of PixArt and DiT do not.
KlConfig read_config(const ModelConfig& c, const Half& half) {
    constexpr std::size_t max_levels = 8;  // of the picture's halvings
    c.only("act_fn", "silu");
    KlConfig k{.channels = c.integers("block_out_channels", std::vector<std::int64_t>{64}),
               .layers = c.integer("layers_per_block", 1),
               .groups = c.integer("norm_num_groups", 32),
               .latent_channels = c.integer("latent_channels", 4),
               .mid_attention = c.flag("mid_block_add_attention", true),
               .quant_conv = c.flag("use_quant_conv", true),
               .post_quant_conv = c.flag("use_post_quant_conv", true),
               .scaling_factor = c.number("scaling_factor", 0.18215)};
    if (k.channels.size() > max_levels) throw c.error("block_out_channels", "has more than 8 entries");
    for (const auto n : k.channels)
        if (n % k.groups != 0) throw c.error("block_out_channels", "must be multiples of norm_num_groups");
    const auto types = c.texts(half.types_key, std::vector<std::string>(k.channels.size(), half.block));
    if (types.size() != k.channels.size()) throw c.error(half.types_key, "must have as many entries as block_out_channels");
    for (const auto& type : types)
        if (type != half.block) throw c.error(half.types_key, "holds \"" + type + "\"; \"" + half.block + "\" is supported");
    if (c.integer(half.pixels_key, 3) != 3) throw c.error(half.pixels_key, "must be 3: pictures are RGB");
    if (k.scaling_factor == 0.0) throw c.error("scaling_factor", "must not be 0");
    return k;
}

// resnet, attention, resnet at the coarsest resolution (UNetMidBlock2D)
class MidBlock {
  public:
    MidBlock(const LoadContext& load, const Scope& scope, const KlConfig& k)
        : first_(load, scope / "resnets" / 0, k.channels.back(), k.channels.back(), k.groups),
          second_(load, scope / "resnets" / 1, k.channels.back(), k.channels.back(), k.groups) {
        if (k.mid_attention) attention_.emplace(load, scope / "attentions" / 0, k.channels.back(), k.groups);
    }
    void apply(const ExecContext& ctx, PicturePair& pictures) const {
        const Shape shape = pictures.current().shape;
        pictures.apply(ctx, first_, shape);
        if (attention_) pictures.apply(ctx, *attention_, shape);
        pictures.apply(ctx, second_, shape);
    }

  private:
    ResnetBlock first_, second_;
    std::optional<PixelAttention> attention_;
};

// The ResNet blocks of one resolution and the convolution that leads to the next.
struct Level {
    std::vector<ResnetBlock> resnets;
    std::optional<Conv2d> resample;
};

Level load_level(const LoadContext& load, const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t layers,
                 std::int64_t groups) {
    Level level;
    for (std::int64_t j = 0; j < layers; ++j)
        level.resnets.emplace_back(load, scope / "resnets" / j, j == 0 ? in : out, out, groups);
    return level;
}

// GroupNorm, SiLU, convolution: the end of both halves.
class Tail {
  public:
    Tail(const LoadContext& load, const Scope& scope, std::int64_t channels, std::int64_t groups, const Conv2dConfig& conv)
        : norm_(load, scope / "conv_norm_out", channels, groups, 1e-6F), conv_(load, scope / "conv_out", conv) {}
    void apply(const ExecContext& ctx, PicturePair& pictures) const {
        const TensorView out = pictures.next(conv_.output_shape(pictures.current().shape));
        conv_.forward(ctx, pictures.current(), out, {.norm = norm_.before_conv(Activation::silu)});
        pictures.advance(out);
    }

  private:
    GroupNorm norm_;
    Conv2d conv_;
};

class KlDecoder final : public Decoder {
  public:
    KlDecoder(const LoadContext& load, const KlConfig& k, const Scope& root)
        : config_(k),
          compute_(load.compute),
          conv_in_(load, root / "decoder" / "conv_in", {.in = k.latent_channels, .out = k.channels.back()}),
          mid_(load, root / "decoder" / "mid_block", k),
          tail_(load, root / "decoder", k.channels.front(), k.groups, {.in = k.channels.front(), .out = 3}) {
        if (k.post_quant_conv)
            post_quant_.emplace(load, root / "post_quant_conv",
                                Conv2dConfig{.in = k.latent_channels, .out = k.latent_channels, .kernel = 1, .padding = {}});
        std::int64_t before = k.channels.back();
        for (std::size_t i = 0; i < k.channels.size(); ++i) {
            const std::int64_t out = k.channels[k.channels.size() - 1 - i];
            const Scope scope = root / "decoder" / "up_blocks" / static_cast<std::int64_t>(i);
            levels_.push_back(load_level(load, scope, before, out, k.layers + 1, k.groups));
            if (i + 1 < k.channels.size())
                levels_.back().resample.emplace(load, scope / "upsamplers" / 0 / "conv",
                                                Conv2dConfig{.in = out, .out = out, .upsample = true});
            before = out;
        }
    }

    [[nodiscard]] GridFormat reads() const override { return {GridFormat::Kind::latents, config_.latent_channels}; }
    [[nodiscard]] std::int64_t factor() const override { return config_.factor(); }

    void decode(const ExecContext& ctx, const TensorView& latents, const TensorView& rgb) const override {
        const TraceSpan span(ctx, "autoencoder_kl_decode");
        const Shape& s = latents.shape;
        T2I_CHECK(s.rank() == 4 && s[1] == config_.latent_channels, "latents " + s.text());
        T2I_CHECK(rgb.shape == Shape({s[0], s[2] * factor(), s[3] * factor(), 3}),
                  "rgb " + rgb.shape.text() + " of latents " + s.text());
        const Arena::Mark mark(ctx.scratch);
        const TensorView scaled = ctx.scratch.take(s);
        affine(ctx, latents, 1.0 / config_.scaling_factor, 0.0, scaled);
        PicturePair pictures(ctx, compute_, largest(s));
        const TensorView z = pictures.next({s[0], s[2], s[3], s[1]});
        ops::to_channels_last(ctx, scaled, z);
        pictures.advance(z);
        if (post_quant_) pictures.apply(ctx, *post_quant_, z.shape);
        pictures.apply(ctx, conv_in_, conv_in_.output_shape(z.shape));
        mid_.apply(ctx, pictures);
        for (const auto& level : levels_) {
            for (const auto& resnet : level.resnets) pictures.apply(ctx, resnet, resnet.output_shape(pictures.current().shape));
            if (level.resample) {
                const TraceSpan upsample(ctx, "upsample", pictures.current().shape);
                pictures.apply(ctx, *level.resample, level.resample->output_shape(pictures.current().shape));
            }
        }
        tail_.apply(ctx, pictures);
        if (rgb.dtype == compute_) ctx.backend.copy(pictures.current(), rgb);
        else ops::cast(ctx, pictures.current(), rgb);
    }

  private:
    // Elements of the largest picture between two layers, for latents [B, C, h, w].
    [[nodiscard]] std::int64_t largest(const Shape& s) const {
        std::int64_t pixels = s[0] * s[2] * s[3], most = pixels * s[1], before = config_.channels.back();
        for (std::size_t i = config_.channels.size(); i-- > 0; pixels *= 4) {
            most = std::max({most, pixels * std::max(before, config_.channels[i]), pixels * 3});
            before = config_.channels[i];
        }
        return most;
    }

    KlConfig config_;
    DType compute_;
    std::optional<Conv2d> post_quant_;
    Conv2d conv_in_;
    MidBlock mid_;
    std::vector<Level> levels_;  // coarsest first
    Tail tail_;
};

class KlEncoder final : public LatentEncoder {
  public:
    KlEncoder(const LoadContext& load, const KlConfig& k, const Scope& root)
        : config_(k),
          compute_(load.compute),
          conv_in_(load, root / "encoder" / "conv_in", {.in = 3, .out = k.channels.front()}),
          mid_(load, root / "encoder" / "mid_block", k),
          tail_(load, root / "encoder", k.channels.back(), k.groups, {.in = k.channels.back(), .out = 2 * k.latent_channels}) {
        if (k.quant_conv)
            quant_.emplace(load, root / "quant_conv",
                           Conv2dConfig{.in = 2 * k.latent_channels, .out = 2 * k.latent_channels, .kernel = 1, .padding = {}});
        std::int64_t before = k.channels.front();
        for (std::size_t i = 0; i < k.channels.size(); ++i) {
            const Scope scope = root / "encoder" / "down_blocks" / static_cast<std::int64_t>(i);
            levels_.push_back(load_level(load, scope, before, k.channels[i], k.layers, k.groups));
            if (i + 1 < k.channels.size())
                levels_.back().resample.emplace(
                    load, scope / "downsamplers" / 0 / "conv",
                    Conv2dConfig{.in = k.channels[i], .out = k.channels[i], .stride = 2, .padding = {0, 0, 1, 1}});
            before = k.channels[i];
        }
    }

    [[nodiscard]] std::int64_t factor() const override { return config_.factor(); }

    [[nodiscard]] std::int64_t channels() const override { return config_.latent_channels; }
    [[nodiscard]] bool is_random() const override { return true; }

    void encode(const ExecContext& ctx, const TensorView& rgb, const TensorView& latents,
                const TensorView& deviation) const override {
        const TraceSpan span(ctx, "autoencoder_kl_encode");
        const Shape& s = rgb.shape;
        T2I_CHECK(s.rank() == 4 && s[3] == 3 && s[1] % factor() == 0 && s[2] % factor() == 0, "rgb " + s.text());
        T2I_CHECK(latents.shape == Shape({s[0], config_.latent_channels, s[1] / factor(), s[2] / factor()}),
                  "latents " + latents.shape.text() + " of rgb " + s.text());
        const Arena::Mark mark(ctx.scratch);
        PicturePair pictures(ctx, compute_, largest(s));
        pictures.advance(as_dtype(ctx, rgb, compute_));
        pictures.apply(ctx, conv_in_, conv_in_.output_shape(s));
        for (const auto& level : levels_) {
            for (const auto& resnet : level.resnets) pictures.apply(ctx, resnet, resnet.output_shape(pictures.current().shape));
            if (level.resample) pictures.apply(ctx, *level.resample, level.resample->output_shape(pictures.current().shape));
        }
        mid_.apply(ctx, pictures);
        tail_.apply(ctx, pictures);
        if (quant_) pictures.apply(ctx, *quant_, quant_->output_shape(pictures.current().shape));
        const TensorView moments = ctx.scratch.take({s[0], 2 * config_.latent_channels, latents.shape[2], latents.shape[3]});
        ops::to_channels_first(ctx, pictures.current(), moments);
        split(ctx, moments, latents, deviation);
    }

  private:
    // Mean and log-variance of each picture lie one after the other (diffusers: DiagonalGaussianDistribution).
    void split(const ExecContext& ctx, const TensorView& moments, const TensorView& mean, const TensorView& deviation) const {
        constexpr float least = -30.0F, most = 20.0F;
        const std::int64_t channels = config_.latent_channels;
        for (std::int64_t b = 0; b < moments.shape[0]; ++b) {
            const Shape one{2 * channels, moments.shape[2], moments.shape[3]}, half{channels, one[1], one[2]};
            const TensorView own = moments.slice(b, 1).reshaped(one);
            affine(ctx, own.slice(0, channels), config_.scaling_factor, 0.0, mean.slice(b, 1).reshaped(half));
            if (deviation.empty()) continue;
            const Tensor log_variance = Tensor::host(half);
            ctx.backend.copy(own.slice(channels, channels), log_variance);
            for (float& v : log_variance.as<float>())
                v = static_cast<float>(config_.scaling_factor) * std::exp(0.5F * std::clamp(v, least, most));
            ctx.backend.copy(log_variance, deviation.slice(b, 1).reshaped(half));
        }
    }

    [[nodiscard]] std::int64_t largest(const Shape& s) const {
        std::int64_t pixels = s[0] * s[1] * s[2], most = 0, before = config_.channels.front();
        for (std::size_t i = 0; i < config_.channels.size(); ++i, pixels /= 4) {
            most = std::max(most, pixels * std::max({before, config_.channels[i], 2 * config_.latent_channels}));
            before = config_.channels[i];
        }
        return most;
    }

    KlConfig config_;
    DType compute_;
    Conv2d conv_in_;
    std::vector<Level> levels_;  // finest first
    MidBlock mid_;
    Tail tail_;
    std::optional<Conv2d> quant_;
};

}  // namespace

std::unique_ptr<Decoder> make_kl_decoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    ignore_prefix(weights, "encoder.");
    ignore_prefix(weights, "quant_conv.");
    return std::make_unique<KlDecoder>(load, read_config(config, decoder_half), weights.root());
}

std::unique_ptr<LatentEncoder> make_kl_encoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    ignore_prefix(weights, "decoder.");
    ignore_prefix(weights, "post_quant_conv.");
    return std::make_unique<KlEncoder>(load, read_config(config, encoder_half), weights.root());
}

std::int64_t read_kl_factor(const ModelConfig& config) {
    return read_config(config, decoder_half).factor();
}

}  // namespace t2i
