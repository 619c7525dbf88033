#include "models/t5_encoder.h"

#include <chrono>
#include <cstring>
#include <exception>
#include <map>
#include <optional>

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

// T5Config derives two attributes from feed_forward_proj ("relu" where it is absent), which the file may then hold, too. Only T5
// v1.1 is supported: gated, by tanh's approximation of GELU, which has two names.
void check_activation(const ModelConfig& c) {
    const std::string projection = c.text("feed_forward_proj", "relu");
    const bool is_gated = c.flag("is_gated_act", projection.starts_with("gated-"));
    const std::string derived = projection == "gated-gelu" ? "gelu_new" : projection.substr(projection.find('-') + 1);
    const std::string activation = c.text("dense_act_fn", derived);
    if (is_gated && (activation == "gelu_new" || activation == "gelu_pytorch_tanh")) return;
    throw c.error("feed_forward_proj", "is \"" + projection + "\", which makes " + (is_gated ? "gated " : "") + activation +
                                           "; \"gated-gelu\" (T5 v1.1) is supported");
}

T5Config read_config(const ModelConfig& c) {
    check_activation(c);
    T5Config t{.vocabulary = c.integer("vocab_size", 32128),
               .width = c.integer("d_model", 512),
               .layers = c.integer("num_layers", 6),
               .hidden = c.integer("d_ff", 2048),
               .heads = c.integer("num_heads", 8),
               .head_size = c.integer("d_kv", 64),
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

// What Block's constructor takes.
void expect_block(const Scope& scope, const T5Config& t) {
    const std::int64_t inner = t.heads * t.head_size;
    for (const char* name : {"q", "k", "v"}) (scope / 0 / "SelfAttention" / name).expect("weight", {inner, t.width});
    (scope / 0 / "SelfAttention" / "o").expect("weight", {t.width, inner});
    for (const char* name : {"wi_0", "wi_1"}) (scope / 1 / "DenseReluDense" / name).expect("weight", {t.hidden, t.width});
    (scope / 1 / "DenseReluDense" / "wo").expect("weight", {t.width, t.hidden});
    for (const int i : {0, 1}) (scope / i / "layer_norm").expect("weight", {t.width});
}

// Backend::reuse_weight_memory() for a while.
class ReusedMemory {
  public:
    ReusedMemory(Backend& backend, bool reuse) : backend_(backend) { backend_.reuse_weight_memory(reuse); }
    ~ReusedMemory() { backend_.reuse_weight_memory(false); }
    ReusedMemory(const ReusedMemory&) = delete;
    ReusedMemory& operator=(const ReusedMemory&) = delete;

  private:
    Backend& backend_;
};

class T5Encoder final : public TextEncoder {
  public:
    T5Encoder(const LoadContext& load, const T5Config& config, std::shared_ptr<WeightStore> weights, bool resident)
        : load_(load),
          config_(config),
          weights_(std::move(weights)),
          table_name_(t5_embedding_name(root())),
          position_table_((root() / "encoder" / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias")
                              .take_f32("weight", {config.buckets.count, config.heads})),
          final_norm_(load, root() / "encoder" / "final_layer_norm", config.width, config.eps),
          resident_(resident) {
        root().expect(table_name_, {config_.vocabulary, config_.width});
        for (std::int64_t i = 0; i < config.layers; ++i)
            if (resident) blocks_.emplace_back(load, block_scope(i), config);
            else expect_block(block_scope(i), config);
        if (!resident) return;
        const TensorView table = root().take(table_name_, {config_.vocabulary, config_.width});
        table_ = Tensor::host(table.shape, table.dtype);
        std::memcpy(table_.view.data, table.data, table.bytes());
        root().release(table_name_);
    }

    [[nodiscard]] std::int64_t width() const override { return config_.width; }
    [[nodiscard]] std::int64_t vocabulary() const override { return config_.vocabulary; }
    [[nodiscard]] bool is_resident() const override { return resident_; }
    [[nodiscard]] double load_ms() const override { return load_ms_; }

    void encode(const ExecContext& ctx, std::span<const Text> texts) const override {
        const TraceSpan span(ctx, "t5_encoder");
        if (broken_) std::rethrow_exception(broken_);
        const Arena::Mark mark(ctx.scratch);
        std::map<std::int64_t, TensorView> biases;  // of each length
        for (const Text& text : texts) {
            const auto length = static_cast<std::int64_t>(text.ids.size());
            T2I_CHECK(length > 0 && text.out.shape == Shape({length, config_.width}),
                      std::to_string(length) + " tokens into " + text.out.shape.text());
            embed(ctx, text);
            if (const auto [bias, is_new] = biases.try_emplace(length); is_new) {
                bias->second = ctx.scratch.take({config_.heads, length, length});
                ctx.backend.copy(relative_position_bias(config_.buckets, position_table_, length), bias->second);
            }
        }
        const ReusedMemory reused(ctx.backend, !resident_);
        for (std::int64_t i = 0; i < config_.layers; ++i) {
            const TraceSpan block_span(ctx, "block", static_cast<std::size_t>(i));
            std::optional<Block> read;
            if (!resident_) read_block(ctx, i, read);
            const Block& block = resident_ ? blocks_[static_cast<std::size_t>(i)] : *read;
            for (const Text& text : texts) block.forward(ctx, text.out, biases.at(text.out.shape[0]), load_.compute);
            if (!resident_) ctx.backend.wait(ctx.backend.fence());  // before its weights go
        }
        for (const Text& text : texts) final_norm_.forward(ctx, text.out, text.out);
    }

  private:
    [[nodiscard]] Scope root() const { return weights_->root(); }
    [[nodiscard]] Scope block_scope(std::int64_t i) const { return root() / "encoder" / "block" / i / "layer"; }

    // A file that turns out to be broken is not read again for every prompt.
    void read_block(const ExecContext& ctx, std::int64_t i, std::optional<Block>& block) const {
        const TraceSpan span(ctx, "load");
        const auto begin = std::chrono::steady_clock::now();
        try {
            block.emplace(load_, block_scope(i), config_);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::input) broken_ = std::current_exception();
            throw;
        }
        load_ms_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    }

    // Rows of the table, which stays in host memory or in the file: a prompt reads few of them.
    void embed(const ExecContext& ctx, const Text& text) const {
        const TensorView table =
            resident_ ? table_.view : root().take_unchecked(table_name_, {config_.vocabulary, config_.width});
        const Tensor rows = Tensor::host(text.out.shape);
        for (std::size_t i = 0; i < text.ids.size(); ++i) {
            T2I_CHECK(text.ids[i] >= 0 && text.ids[i] < config_.vocabulary, "id " + std::to_string(text.ids[i]));
            const TensorView row = table.slice(text.ids[i], 1);
            if (!resident_) root().check_finite(table_name_, row);
            convert_to_f32(row.data, row.dtype, static_cast<std::size_t>(config_.width),
                           rows.view.slice(static_cast<std::int64_t>(i), 1).as<float>().data());
        }
        if (!resident_) root().release(table_name_);
        ctx.backend.copy(rows, text.out);
    }

    LoadContext load_;
    T5Config config_;
    std::shared_ptr<WeightStore> weights_;
    std::string table_name_;
    Tensor position_table_;  // [buckets, heads] f32, host
    RmsNorm final_norm_;
    bool resident_;
    Tensor table_;               // [vocabulary, width] in the checkpoint's dtype, host; resident
    std::vector<Block> blocks_;  // resident
    // encode() is for one thread at a time, as the backend is.
    mutable double load_ms_ = 0;
    mutable std::exception_ptr broken_;
};

}  // namespace

std::unique_ptr<TextEncoder> make_t5_encoder(const LoadContext& load, const ModelConfig& config,
                                             std::shared_ptr<WeightStore> weights, bool resident) {
    return std::make_unique<T5Encoder>(load, read_config(config), std::move(weights), resident);
}

}  // namespace t2i
