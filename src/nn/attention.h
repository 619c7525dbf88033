// Multi-head attention: fused projections, then the attention op, then the output projection.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "nn/linear.h"

namespace t2i {

// What the two naming schemes call their projections.
struct AttentionNames {
    std::string q, k, v, out;
};

struct AttentionConfig {
    std::int64_t width;  // of the residual stream
    std::int64_t heads, head_size;
    float scale;  // of q·k
    Bias qkv_bias = Bias::yes, out_bias = Bias::yes;
    [[nodiscard]] std::int64_t inner() const { return heads * head_size; }
};

class SelfAttention {
  public:
    SelfAttention(const LoadContext& load, const Scope& scope, const AttentionNames& names, const AttentionConfig& config);
    struct Call {
        std::int64_t batch = 1;
        std::optional<TensorView> bias{};  // [heads, T, T] f32
        Linear::Epilogue epilogue{};       // of the output projection
    };
    // x [B·T, width] in the compute dtype → out [B·T, width] f32 or the compute dtype
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& out, const Call& call) const;

  private:
    Linear qkv_, out_;
    AttentionConfig config_;
};

class CrossAttention {
  public:
    // context_width: of the tokens that give keys and values
    CrossAttention(const LoadContext& load, const Scope& scope, const AttentionNames& names, const AttentionConfig& config,
                   std::int64_t context_width);
    // context [B·L, context_width] in the compute dtype → out [B·L, 2·inner] in it: keys, then values
    void keys_values(const ExecContext& ctx, const TensorView& context, const TensorView& out) const;
    // x [B·T, width] in the compute dtype; lengths [B] i32: valid keys of each row → out [B·T, width] f32 or the compute dtype
    void forward(const ExecContext& ctx, const TensorView& x, const TensorView& keys_values, const TensorView& lengths,
                 const TensorView& out) const;
    [[nodiscard]] std::int64_t inner() const { return config_.inner(); }

  private:
    Linear q_, kv_, out_;
    AttentionConfig config_;
};

}  // namespace t2i
