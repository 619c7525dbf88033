// What a model folder's parts can do, whatever their architecture. The pipeline knows these alone.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ops/exec_context.h"

namespace t2i {

// What the denoiser is told to draw: encoded text, or of a class-conditional model one label a row.
struct Conditioning {
    Tensor embeddings{};                  // [B, L, C] f32; rows past lengths[b] are padding
    std::vector<std::int32_t> lengths{};  // B values in [1, L]
    std::vector<std::int32_t> labels{};   // B values in [0, classes]; then there are no embeddings
    // L, or 1 with labels: the text_tokens of prepare().
    [[nodiscard]] std::int64_t tokens() const { return labels.empty() ? embeddings.shape()[1] : 1; }
};

class TextEncoder {
  public:
    virtual ~TextEncoder() = default;
    [[nodiscard]] virtual std::int64_t width() const = 0;       // C
    [[nodiscard]] virtual std::int64_t vocabulary() const = 0;  // ids must be below it
    // One sequence of ids per prompt, each at least one id; L is the longest.
    [[nodiscard]] virtual Conditioning encode(const ExecContext& ctx, std::span<const std::vector<std::int32_t>> ids) const = 0;
};

// What depends on a request but not on the step: timestep tables, positions, the text's keys and values.
class DenoiserRequest {
  public:
    virtual ~DenoiserRequest() = default;
};

class Denoiser {
  public:
    virtual ~Denoiser() = default;
    [[nodiscard]] virtual std::int64_t channels() const = 0;     // of the latents
    [[nodiscard]] virtual std::int64_t sample_size() const = 0;  // default height and width of the latents
    [[nodiscard]] virtual std::int64_t patch() const = 0;        // height and width must be multiples of it
    // Of a class-conditional model, which reads labels 0 to classes() - 1, and classes() for no class; 0: it reads text.
    [[nodiscard]] virtual std::int64_t classes() const { return 0; }
    // Memory and tables for latents_shape [B, C, H, W], B texts of `text_tokens` rows and these timesteps.
    [[nodiscard]] virtual std::unique_ptr<DenoiserRequest> prepare(const ExecContext& ctx, std::span<const float> timesteps,
                                                                   const Shape& latents_shape,
                                                                   std::int64_t text_tokens) const = 0;
    // Puts B texts into a request, in place of earlier ones; the request's memory stays where it is. Before the first forward.
    virtual void set_text(const ExecContext& ctx, DenoiserRequest& request, const Conditioning& text) const = 0;
    // latents and out [B, C, H, W] f32, at timesteps[step] of the request.
    virtual void forward(const ExecContext& ctx, const DenoiserRequest& request, std::int64_t step, const TensorView& latents,
                         const TensorView& out) const = 0;
};

class LatentDecoder {
  public:
    virtual ~LatentDecoder() = default;
    [[nodiscard]] virtual std::int64_t channels() const = 0;
    [[nodiscard]] virtual std::int64_t factor() const = 0;  // pixels per latent in each direction
    // latents [B, C, h, w] f32 as the denoiser leaves them → rgb [B, h·factor, w·factor, 3] f32, nominally in [-1, 1].
    virtual void decode(const ExecContext& ctx, const TensorView& latents, const TensorView& rgb) const = 0;
};

class LatentEncoder {
  public:
    virtual ~LatentEncoder() = default;
    [[nodiscard]] virtual std::int64_t factor() const = 0;
    // rgb [B, H, W, 3] f32 in [-1, 1] → latents [B, C, H/factor, W/factor] f32, the mean where the model has a distribution.
    virtual void encode(const ExecContext& ctx, const TensorView& rgb, const TensorView& latents) const = 0;
};

}  // namespace t2i
