#include "models/t5_encoder.h"

#include "models/names.h"
#include "nn/attention.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/relative_bias.h"

namespace t2i {
namespace {

struct T5Config {
    std::int64_t vocabulary, width, layers, hidden, heads, head_size;
    float eps;
    RelativeBuckets buckets;
};

T5Config read_config(const ModelConfig& c) {
    c.only("feed_forward_proj", "gated-gelu");
    T5Config t{.vocabulary = c.integer("vocab_size"),
               .width = c.integer("d_model"),
               .layers = c.integer("num_layers"),
               .hidden = c.integer("d_ff"),
               .heads = c.integer("num_heads"),
               .head_size = c.integer("d_kv"),
               .eps = static_cast<float>(c.number("layer_norm_epsilon", 1e-6)),
               .buckets = {}};
    t.buckets.count = static_cast<int>(c.integer("relative_attention_num_buckets", 32));
    t.buckets.max_distance = static_cast<int>(c.integer("relative_attention_max_distance", 128));
    if (t.buckets.count % 4 != 0) throw c.error("relative_attention_num_buckets", "must be a multiple of 4");
    if (t.buckets.max_distance <= t.buckets.count / 4)
        throw c.error("relative_attention_max_distance", "must exceed a quarter of the buckets");
    return t;
}

// x += attention(norm(x)); x += mlp(norm(x)). No scale on q·k: T5's initialisation absorbs it.
struct Block {
    RmsNorm attention_norm;
    SelfAttention attention;
    RmsNorm mlp_norm;
    GatedGeluMlp mlp;

    Block(const LoadContext& load, const Scope& scope, const T5Config& t)
        : attention_norm(load, scope / 0 / "layer_norm", t.width, t.eps),
          attention(load, scope / 0 / "SelfAttention", {"q", "k", "v", "o"},
                    {.width = t.width,
                     .heads = t.heads,
                     .head_size = t.head_size,
                     .scale = 1.0F,
                     .qkv_bias = Bias::no,
                     .out_bias = Bias::no}),
          mlp_norm(load, scope / 1 / "layer_norm", t.width, t.eps),
          mlp(load, scope / 1 / "DenseReluDense", t.width, t.hidden) {}

    // x [T, width] f32, in place; bias [heads, T, T] f32
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& bias, DType compute) const {
        const Arena::Mark mark(ctx.scratch);
        const TensorView normed = ctx.scratch.take(x.shape, compute);
        attention_norm.forward(ctx, x, normed);
        attention.forward(ctx, normed, x, {.bias = bias, .epilogue = {.residual = x}});
        mlp_norm.forward(ctx, x, normed);
        mlp.add_to(ctx, normed, x);
    }
};

class T5Encoder final : public TextEncoder {
  public:
    T5Encoder(const LoadContext& load, const T5Config& config, WeightStore& weights)
        : config_(config),
          compute_(load.compute),
          table_(upload(load.backend, weights.root().take(t5_embedding_name(weights.root()), {config.vocabulary, config.width}))),
          position_table_((weights.root() / "encoder" / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias")
                              .take_f32("weight", {config.buckets.count, config.heads})),
          final_norm_(load, weights.root() / "encoder" / "final_layer_norm", config.width, config.eps) {
        for (std::int64_t i = 0; i < config.layers; ++i)
            blocks_.emplace_back(load, weights.root() / "encoder" / "block" / i / "layer", config);
    }

    [[nodiscard]] std::int64_t width() const override { return config_.width; }
    [[nodiscard]] std::int64_t vocabulary() const override { return config_.vocabulary; }

    void encode(const ExecContext& ctx, std::span<const std::int32_t> ids, const TensorView& out) const override {
        const TraceSpan span(ctx, "t5_encoder");
        const auto length = static_cast<std::int64_t>(ids.size());
        T2I_CHECK(length > 0 && out.shape == Shape({length, config_.width}),
                  std::to_string(length) + " tokens into " + out.shape.text());
        const Arena::Mark mark(ctx.scratch);
        const TensorView x = ctx.scratch.take({length, config_.width});
        const TensorView bias = ctx.scratch.take({config_.heads, length, length});
        ops::gather(ctx, table_, ids, x);
        ctx.backend.copy(relative_position_bias(config_.buckets, position_table_, length), bias);
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const TraceSpan block(ctx, "block", i);
            blocks_[i].forward(ctx, x, bias, compute_);
        }
        final_norm_.forward(ctx, x, out);
    }

  private:
    T5Config config_;
    DType compute_;
    Tensor table_;           // [vocabulary, width] in the checkpoint's dtype
    Tensor position_table_;  // [buckets, heads] f32, host
    RmsNorm final_norm_;
    std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<TextEncoder> make_t5_encoder(const LoadContext& load, const ModelConfig& config, WeightStore& weights) {
    return std::make_unique<T5Encoder>(load, read_config(config), weights);
}

}  // namespace t2i
