// What a model folder's parts can do, whatever their architecture.
#pragma once

#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "ops/exec_context.h"

namespace t2i {

// What a model is told to draw, a row for each sequence of the batch: encoded texts, or labels of a class-conditional model.
struct TextConditioning {
    Tensor embeddings{};                  // [B, L, C] f32 in the backend's memory; rows past lengths[b] are padding
    std::vector<std::int32_t> lengths{};  // B values in [1, L]
};
struct LabelConditioning {
    std::vector<std::int32_t> labels{};  // B values in [0, classes]
};
using Conditioning = std::variant<TextConditioning, LabelConditioning>;

// What a generator leaves and a decoder reads: a grid of latents, or of codes.
struct GridFormat {
    enum class Kind : std::uint8_t { latents, codes };
    Kind kind = Kind::latents;
    std::int64_t size = 0;  // channels of latents; how many codes there are
    bool operator==(const GridFormat&) const = default;
    // Latents [B, size, h, w] f32; codes [B, h, w] i32 in [0, size).
    [[nodiscard]] DType dtype() const { return kind == Kind::latents ? DType::f32 : DType::i32; }
    [[nodiscard]] Shape shape(std::int64_t pictures, std::int64_t height, std::int64_t width) const {
        return kind == Kind::latents ? Shape{pictures, size, height, width} : Shape{pictures, height, width};
    }
    // "latents of 4 channels", "codes below 16384".
    [[nodiscard]] std::string text() const {
        return kind == Kind::latents ? "latents of " + std::to_string(size) + " channels" : "codes below " + std::to_string(size);
    }
};

// Heights and widths that a generator makes, in latents or codes. They stand in its config, so no weights are needed.
struct GridSizes {
    std::int64_t side = 0;      // default height and width
    std::int64_t multiple = 1;  // both are multiples of it
};

class TextEncoder {
  public:
    virtual ~TextEncoder() = default;
    [[nodiscard]] virtual std::int64_t width() const = 0;       // C
    [[nodiscard]] virtual std::int64_t vocabulary() const = 0;  // ids must be below it
    // A prompt of T ids, at least one → out [T, C] f32 in the backend's memory.
    struct Text {
        std::span<const std::int32_t> ids;
        TensorView out;
    };
    // Prompts go through each product one by one also where a device could take several: a product of other rows may sum in
    // another order, and a prompt's numbers must not depend on others.
    virtual void encode(const ExecContext& ctx, std::span<const Text> texts) const = 0;
    // Whether the weights are in memory. If not, each encode() reads them, once for all its texts, and lets go of each layer when
    // all have passed it.
    [[nodiscard]] virtual bool is_resident() const { return true; }
    // What that reading has taken so far.
    [[nodiscard]] virtual double load_ms() const { return 0; }
};

// A denoiser at work: what depends on a request but not on the step (timestep tables, positions, the text's keys and values),
// in memory of its own that stays where it is, so that steps can be recorded. The denoiser outlives its runs; a run belongs to
// one thread. The context comes with every call, as everywhere: a first step may be tried without a tracer.
class DenoiserRun {
  public:
    virtual ~DenoiserRun() = default;
    // Says what to draw, in place of what was said before; B rows. Before the first predict().
    virtual void condition(const ExecContext& ctx, const Conditioning& conditioning) = 0;
    // x and out [B, C, H, W] f32, at timesteps[step] of begin(); begun with the variance, out [B, 2·C, H, W].
    virtual void predict(const ExecContext& ctx, std::int64_t step, const TensorView& x, const TensorView& out) const = 0;
};

class Denoiser {
  public:
    virtual ~Denoiser() = default;
    [[nodiscard]] virtual std::int64_t channels() const = 0;  // of the latents
    // Of a class-conditional model, which reads labels 0 to classes() - 1, and classes() for no class; 0: it reads text.
    [[nodiscard]] virtual std::int64_t classes() const { return 0; }
    // Columns of the text that it reads; 0: it reads labels.
    [[nodiscard]] virtual std::int64_t text_width() const { return 0; }
    // Of the latents' channels, those that guidance changes: the first ones. The others stay as they are with the prompt.
    [[nodiscard]] virtual std::int64_t guided_channels() const { return channels(); }
    // Whether it also predicts the variance of each step (Nichol & Dhariwal 2021, section 3.1): as many channels again.
    [[nodiscard]] virtual bool predicts_variance() const { return false; }
    struct Begin {
        std::span<const float> timesteps;
        Shape latents;                       // [B, C, H, W]
        std::int64_t text_rows = 0;          // L of the texts to come; 0 where labels come
        std::int64_t pixels_per_latent = 8;  // of the decoder that comes after, in each direction
        bool with_variance = false;          // of one that predicts it
    };
    [[nodiscard]] virtual std::unique_ptr<DenoiserRun> begin(const ExecContext& ctx, const Begin& begin) const = 0;
};

class Decoder {
  public:
    virtual ~Decoder() = default;
    [[nodiscard]] virtual GridFormat reads() const = 0;
    [[nodiscard]] virtual std::int64_t factor() const = 0;  // pixels per latent or code in each direction
    // grid: reads().shape(B, h, w), as a generator leaves it → rgb [B, h·factor, w·factor, 3] f32, nominally in [-1, 1].
    virtual void decode(const ExecContext& ctx, const TensorView& grid, const TensorView& rgb) const = 0;
};

class LatentEncoder {
  public:
    virtual ~LatentEncoder() = default;
    [[nodiscard]] virtual std::int64_t factor() const = 0;
    [[nodiscard]] virtual std::int64_t channels() const = 0;  // of the latents
    // Whether it gives a distribution of latents, with a deviation.
    [[nodiscard]] virtual bool is_random() const = 0;
    // rgb [B, H, W, 3] f32 in [-1, 1] → latents [B, C, H/factor, W/factor] f32, the mean where the model gives a distribution,
    // whose deviation, of the same shape, is left out where that view is empty. Both as a denoiser has latents.
    virtual void encode(const ExecContext& ctx, const TensorView& rgb, const TensorView& latents,
                        const TensorView& deviation) const = 0;
};

}  // namespace t2i
