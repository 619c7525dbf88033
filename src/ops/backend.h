// The operations that every backend offers. Shapes use the letters of src/README.md.
//
// Rules: outputs belong to the caller and are written whole; ops never allocate caller-visible memory; inputs and
// outputs are contiguous unless a Columns argument says otherwise. Callers go through ops/ops.h, which validates
// shapes and dtypes once, so an implementation may assume them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace t2i {

enum class Op : std::uint8_t {
    linear,
    attention,
    norm_modulate,
    rms_norm,
    group_norm,
    conv2d,
    upsample2x,
    unary,
    gated_gelu,
    lincomb,
    gather,
    patchify,
    unpatchify,
    timestep_embed,
    cast,
    to_channels_last,
    to_channels_first,
    residual_norm,
    sampler_update,
    limit,
    to_rgb8,
};
[[nodiscard]] std::string_view name_of(Op op);

enum class Activation : std::uint8_t { none, relu, silu, gelu_tanh };
enum class Unary : std::uint8_t {
    silu,
    gelu_tanh,
    relu,
    soft_clamp3,  // 3·tanh(x / 3), the input clamp of TAESD's decoder
    exp,          // the spread of noise whose variance a model predicts
};

// A weight matrix or filter in whatever layout a backend multiplies fastest. Made once at load.
class PackedWeight {
  public:
    virtual ~PackedWeight() = default;
    Shape shape;                   // linear: [N, K]; conv2d: [Cout, Cin, KH, KW]
    DType compute = DType::f32;    // dtype of the activations it is multiplied with
    bool is_known_finite = false;  // packing saw every value, and neither NaN nor Inf
};

// Columns [begin, begin + width) of a matrix [rows, columns]: how q, k and v lie in one fused product.
struct Columns {
    TensorView matrix;
    std::int64_t begin = 0;
    std::int64_t width = 0;
    static Columns all(const TensorView& m) { return {m, 0, m.shape.columns()}; }
};

// out = residual + gate ⊙ activation(x·Wᵀ + bias); every part after the product is optional.
struct LinearArgs {
    TensorView x;  // [M, K], dtype = weight->compute
    const PackedWeight* weight = nullptr;
    std::optional<TensorView> bias;  // [N] f32
    Activation activation = Activation::none;
    std::optional<TensorView> gate;      // [G, N] f32; row m uses gate row m / (M / G)
    std::optional<TensorView> residual;  // [R, N] f32, M a multiple of R; row m uses residual row m mod R; may be out itself
    TensorView out;                      // [M, N] f32 or weight->compute
};

// out[b, i, h·D + d] = Σ_j softmax_j(scale · q·k + bias[h, i, j]) v, over the first key_lengths[b] keys.
struct AttentionArgs {
    Columns q, k, v;  // [B·Tq, heads·D] and [B·Tk, heads·D] (v the same), one dtype, f32 or bf16
    std::int64_t batch = 1, heads = 1;
    float scale = 1.0F;
    std::optional<TensorView> bias;         // [heads, Tq, Tk] f32
    std::optional<TensorView> key_lengths;  // [B] i32 in the backend's memory, values in [1, Tk]; absent: all Tk keys
    TensorView out;                         // [B·Tq, heads·D], dtype of q
};

// out = LayerNorm(x; no affine) ⊙ (1 + scale) + shift, statistics in f32 or better.
struct NormModulateArgs {
    TensorView x;             // [M, C] f32
    TensorView shift, scale;  // [G, C] f32; row m uses row m / (M / G)
    float eps = 1e-6F;
    TensorView out;  // [M, C] f32 or bf16
};

// The residual add after a layer and the norm in front of the next one, in one pass over the residual stream:
// stream += gate ⊙ y; out = LayerNorm(stream; no affine) ⊙ (1 + scale) + shift, or stream itself where there is no norm.
struct ResidualNormArgs {
    TensorView y;                            // [M, C] f32 or bf16: what the layer made
    std::optional<TensorView> gate;          // [G, C] f32; row m uses row m / (M / G)
    TensorView stream;                       // [M, C] f32, in place
    std::optional<TensorView> shift, scale;  // [G, C] f32, both or neither
    float eps = 1e-6F;
    TensorView out;  // [M, C] f32 or bf16: what the next layer reads
};

// GroupNorm over channels-last pictures, then an optional activation.
struct GroupNormArgs {
    TensorView x;             // [B, H, W, C] f32 or bf16
    TensorView weight, bias;  // [C] f32
    std::int64_t groups = 32;
    float eps = 1e-6F;
    Activation activation = Activation::none;  // none or silu
    TensorView out;                            // as x
};

// GroupNorm and an activation, as in GroupNormArgs, that a convolution's input goes through first.
struct InputNorm {
    TensorView weight, bias;  // [Cin] f32
    std::int64_t groups = 32;
    float eps = 1e-6F;
    Activation activation = Activation::none;  // none or silu
};

// What a filter is packed for: all calls with it must be alike in this.
struct Conv2dUse {
    std::int64_t stride = 1;
    bool upsample = false;
};

// Channels-last convolution (cross-correlation): out = activation(conv(upsample2x(norm(x))) + bias + residual).
struct Conv2dArgs {
    TensorView x;  // [B, H, W, Cin] f32 or bf16 (weight->compute)
    std::optional<InputNorm> norm{};
    // Each pixel four times, as upsample2x; H and W below are then the doubled ones, the filter 3x3, stride and padding 1.
    bool upsample = false;
    const PackedWeight* weight = nullptr;
    std::optional<TensorView> bias;  // [Cout] f32
    std::int64_t stride = 1;
    std::array<std::int64_t, 4> padding{};     // top, left, bottom, right
    Activation activation = Activation::none;  // none or relu
    std::optional<TensorView> residual;        // as out; may be out itself
    TensorView out;                            // [B, (H + top + bottom - KH) / stride + 1, …, Cout], as x
};

// x = clamp(x, -s, s) with s = range, in place; with a quantile, row by row, s = clamp(that quantile of the row's |x|, 1, range)
// and x is divided by s, too (dynamic thresholding: Saharia et al. 2022, section 2.3; diffusers' _threshold_sample). A range
// below 1 is s itself. The quantile is between the two elements nearest to it, as torch.quantile's. A NaN stays one.
struct LimitArgs {
    TensorView x;  // [rows, n] f32, n < 2^31
    float range = 1.0F;
    double quantile = 0.0;  // in (0, 1]; 0: none
};
// The quantile's place among n sorted elements: `weight` of the way from the one at `below` to the next.
struct QuantilePlace {
    std::int64_t below = 0;
    double weight = 0.0;
};
[[nodiscard]] QuantilePlace quantile_place(double quantile, std::int64_t n);

struct LincombTerm {
    double coefficient;
    TensorView x;  // f32
};

// One step of a sampler, after the model: x0 = Σ x0_terms; then x = Σ x_terms, which may hold x0 and x; then every copy of x
// in `inputs` = input_scale · x. Sums as in lincomb. first_bad = min(first_bad, step) when x has a NaN or an infinity.
struct SamplerUpdateArgs {
    std::span<const LincombTerm> x0_terms;
    TensorView x0;  // f32, as x; none of the x0_terms
    std::span<const LincombTerm> x_terms;
    TensorView x;  // f32
    double input_scale = 1.0;
    std::optional<TensorView> inputs;  // f32, a whole number of copies of x: what the model reads next
    std::int32_t step = 0;
    TensorView first_bad;  // [1] i32
};

// Operations noted down once by Backend::record, to be done again with the same memory and numbers.
class Recording {
  public:
    virtual ~Recording() = default;
    // Hands the operations to the backend's queue, in their order, as calling them would. Not within a recording.
    virtual void replay() = 0;
};

// A point in the order of the work handed to a backend, to wait for.
using Fence = std::uint64_t;
// A point in a backend's queue whose time can be read, for traces.
using Timestamp = std::uint64_t;

class Backend {
  public:
    virtual ~Backend() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;    // "ref", "cpu"
    [[nodiscard]] virtual std::string description() const = 0;  // for the one line that says what runs where
    // What the last bits of its results depend on besides dtype and build, one line: the instruction set, or the GPU and its
    // libraries. Not the number of threads.
    [[nodiscard]] virtual std::string hardware() const { return description(); }
    [[nodiscard]] virtual bool supports(Op op, DType dtype) const = 0;  // dtype: that of the activations
    [[nodiscard]] virtual bool is_quicker_in_bf16() const { return supports(Op::linear, DType::bf16); }
    [[nodiscard]] virtual Device device() const { return Device::host; }  // of the memory that allocate() gives
    [[nodiscard]] virtual Buffer allocate(std::size_t bytes) = 0;         // throws Error{resource}
    virtual void copy(const TensorView& from,
                      const TensorView& to) = 0;  // same shape and dtype, any devices it knows; done on return

    // A backend with a queue of its own returns from an operation before it is done, and does them in order. What follows
    // is for the few who look across; on a backend that works at once (the defaults) it costs nothing.

    // Host memory that is copied quickly (on a GPU: pinned) and that a recording may copy from. Throws Error{resource}.
    [[nodiscard]] virtual Buffer allocate_staging(std::size_t bytes) { return Buffer::host(bytes); }
    virtual void copy_queued(const TensorView& from, const TensorView& to) { copy(from, to); }  // done when a later fence is
    virtual Fence fence() { return 0; }
    virtual void wait(Fence) {}  // until everything handed over before that fence is done; throws what failed in it
    virtual Timestamp timestamp() { return 0; }  // 0: no queue, or its work is being recorded
    // When the queue came to a timestamp, on the host's clock. It is asked for once, after its work is done.
    [[nodiscard]] virtual std::chrono::steady_clock::time_point time_of(Timestamp) { return {}; }

    // Notes down the operations that `work` calls on this backend, as a CUDA graph does: `work` runs once, its operations are
    // done at each replay(), with the addresses, extents and numbers (coefficients, ids, timesteps) of that once. What is legal
    // is one set of rules for all backends, so that a step tested anywhere can be recorded on a GPU:
    //   planned    linear, conv2d and attention: called before, outside of a recording, with the same weight, bias and shapes.
    //   That
    //              call is the plan: the backend chooses its algorithm then, takes scratch, and prepares the bias, which replays
    //              read as it was at the last such call. Addresses of inputs and outputs may differ.
    //   memory     nothing is allocated, packed or given back; an Arena has grown before. All that `work` uses outlives the
    //              recording, and its contents may change between replays.
    //   copies     within the backend's memory, and from allocate_staging() to it: read when the queue comes to it in a replay.
    //              Not from other (pageable) host memory, and nothing is copied to the host.
    //   no waiting: no fence(), wait(), replay() or record() within a recording.
    // A broken rule is a broken promise: std::logic_error that names the operation; the backend can be used on. The GPU and its
    // emulation check all of it. Backends that work at once, in host memory (cpu, ref), cannot go wrong in these ways and check
    // nothing: there the default keeps `work` and calls it at each replay, not before.
    // The backend outlives the recording.
    [[nodiscard]] virtual std::unique_ptr<Recording> record(std::function<void()> work);
    virtual void begin_range(const char*) {}  // names the work that follows, for profilers
    virtual void end_range() {}
    // Memory that this backend works in, bytes; 0: not known.
    struct Memory {
        std::size_t free = 0, total = 0;
    };
    [[nodiscard]] virtual Memory memory() const { return {}; }
    // Before the first use on a thread other than the one that made it. One thread at a time.
    virtual void bind_thread() {}

    // `weight` (real numbers of any type, possibly unaligned host memory) is read during the call only.
    [[nodiscard]] virtual std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) = 0;  // [N, K]
    // Matrices [N, K], each of a type of its own, as one whose rows are theirs under one another.
    [[nodiscard]] virtual std::unique_ptr<PackedWeight> pack_stacked(std::span<const TensorView> weights, DType compute);
    [[nodiscard]] virtual std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute,
                                                                    const Conv2dUse& use) = 0;  // [Cout, Cin, KH, KW]

    // While true, memory of packed weights that go is kept for the next ones: for whoever packs layer after layer of the same
    // sizes. It is given back at false. Asking the system for it again and again costs as much as packing.
    virtual void reuse_weight_memory(bool /*reuse*/) {}

    virtual void linear(const LinearArgs& a) = 0;
    virtual void attention(const AttentionArgs& a) = 0;
    virtual void norm_modulate(const NormModulateArgs& a) = 0;
    // out = x / sqrt(mean(x²) + eps) ⊙ weight.  x [M, C] f32, weight [C] f32, out [M, C] f32 or bf16
    virtual void rms_norm(const TensorView& x, const TensorView& weight, float eps, const TensorView& out) = 0;
    virtual void group_norm(const GroupNormArgs& a) = 0;
    virtual void conv2d(const Conv2dArgs& a) = 0;
    // Whether conv2d makes its input, `norm` and `upsample`, by itself. Where not, ops::conv2d makes it first, in scratch
    // memory, and conv2d is called with neither.
    [[nodiscard]] virtual bool makes_conv2d_input(const Conv2dArgs&) const { return false; }
    // Nearest neighbour.  x [B, H, W, C] → out [B, 2H, 2W, C], same dtype
    virtual void upsample2x(const TensorView& x, const TensorView& out) = 0;
    virtual void unary(Unary f, const TensorView& x, const TensorView& out) = 0;  // same shape and dtype; out may be x
    // out[m, f] = gelu_tanh(x[m, f]) · x[m, F + f].  x [M, 2F] → out [M, F], same dtype
    virtual void gated_gelu(const TensorView& x, const TensorView& out) = 0;
    // out = Σ coefficient · x, f32, accumulated in double in the order of the terms; out may be one of the inputs
    virtual void lincomb(std::span<const LincombTerm> terms, const TensorView& out) = 0;
    // Rows of a table.  table [V, C] f32/f16/bf16, ids host int32 in [0, V) → out [N, C] f32
    virtual void gather(const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) = 0;
    // latents [B, C, H, W] f32 → tokens [B·(H/p)·(W/p), C·p·p], column c·p² + y·p + x (the order of a p×p convolution)
    virtual void patchify(const TensorView& latents, std::int64_t patch, const TensorView& out) = 0;
    // tokens [B·T, p·p·Cx] f32, column (y·p + x)·Cx + c → out [B, C, H, W] f32, keeping the first C ≤ Cx channels
    virtual void unpatchify(const TensorView& tokens, std::int64_t patch, const TensorView& out) = 0;
    // [cos(t·f_k), sin(t·f_k)], f_k = exp(-ln(1e4)·k / (C/2 - shift)).  → out [N, C] f32 or bf16, C even
    virtual void timestep_embed(std::span<const float> timesteps, float shift, const TensorView& out) = 0;
    // f32 ↔ bf16, f16 → f32, block types → f32 or bf16
    virtual void cast(const TensorView& x, const TensorView& out) = 0;
    virtual void residual_norm(const ResidualNormArgs& a) = 0;
    virtual void sampler_update(const SamplerUpdateArgs& a) = 0;
    virtual void limit(const LimitArgs& a) = 0;
    // round(clamp(x / 2 + 0.5, 0, 1) · 255), ties to even (diffusers' VaeImageProcessor). x f32 → out u8, NaN → 0
    virtual void to_rgb8(const TensorView& x, const TensorView& out) = 0;
    virtual void to_channels_last(const TensorView& x, const TensorView& out) = 0;   // [B,C,H,W] f32 → [B,H,W,C] f32/bf16
    virtual void to_channels_first(const TensorView& x, const TensorView& out) = 0;  // [B,H,W,C] f32/bf16 → [B,C,H,W] f32
};

}  // namespace t2i
