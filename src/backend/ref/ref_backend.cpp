#include "backend/ref/ref_backend.h"

#include <vector>

#include "backend/kernel_arguments.h"
#include "backend/ref/arguments.h"
#include "ops/composed.h"

namespace t2i {
namespace {

using ref::in;
using ref::out;

std::int64_t rows(const std::optional<TensorView>& t) {
    return t ? t->shape.rows() : 1;
}

// "Packed" here: an f32 copy, rounded to the compute dtype as every backend's weights are.
struct RefWeight final : PackedWeight {
    std::vector<float> values;
};

class RefBackend final : public Backend {
  public:
    std::string_view name() const override { return "ref"; }
    std::string description() const override { return "reference (scalar, double accumulation)"; }
    bool supports(Op, DType dtype) const override { return dtype == DType::f32 || dtype == DType::bf16; }
    bool is_quicker_in_bf16() const override { return false; }  // takes it for tests
    Buffer allocate(std::size_t bytes) override { return Buffer::host(bytes); }
    void copy(const TensorView& from, const TensorView& to) override {
        T2I_CHECK(from.dtype == to.dtype && from.elements() == to.elements(), "copy of unlike tensors");
        std::memcpy(to.data, from.data, from.bytes());
    }
    std::unique_ptr<PackedWeight> pack_linear(const TensorView& w, DType compute) override { return pack(w, compute); }
    std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& w, DType compute, const Conv2dUse&) override {
        return pack(w, compute);
    }

    void linear(const LinearArgs& a) override {
        ref::linear({.m = a.x.shape.rows(),
                     .n = a.weight->shape[0],
                     .k = a.weight->shape[1],
                     .x = in(a.x),
                     .weight = values(a.weight),
                     .bias = in(a.bias),
                     .function = function(a.activation),
                     .gate = in(a.gate),
                     .gate_rows = rows(a.gate),
                     .residual = in(a.residual),
                     .residual_rows = rows(a.residual),
                     .out = out(a.out)});
    }

    void attention(const AttentionArgs& a) override {
        const auto operand = [](const Columns& c) { return ref::Rows{in(c.matrix), c.matrix.shape.columns(), c.begin}; };
        ref::attention({.batch = a.batch,
                        .heads = a.heads,
                        .queries = a.q.matrix.shape.rows() / a.batch,
                        .keys = a.k.matrix.shape.rows() / a.batch,
                        .head_size = a.q.width / a.heads,
                        .q = operand(a.q),
                        .k = operand(a.k),
                        .v = operand(a.v),
                        .scale = a.scale,
                        .bias = in(a.bias),
                        .lengths = a.key_lengths ? a.key_lengths->as<std::int32_t>().data() : nullptr,
                        .out = out(a.out)});
    }

    void norm_modulate(const NormModulateArgs& a) override {
        ref::norm_modulate(in(a.x), in(a.shift), in(a.scale), a.x.shape.rows(), a.x.shape.columns(), a.shift.shape.rows(), a.eps,
                           out(a.out));
    }
    void rms_norm(const TensorView& x, const TensorView& weight, float eps, const TensorView& to) override {
        ref::rms_norm(in(x), in(weight), x.shape.rows(), x.shape.columns(), eps, out(to));
    }
    void group_norm(const GroupNormArgs& a) override {
        const Shape& s = a.x.shape;
        ref::group_norm(in(a.x), in(a.weight), in(a.bias), s[0], s[1] * s[2], s[3], a.groups, a.eps, function(a.activation),
                        out(a.out));
    }

    void conv2d(const Conv2dArgs& a) override {
        ref::Conv2d c = ref::conv2d_sizes(a.x.shape, a.weight->shape, a.stride, a.padding);
        c.x = in(a.x);
        c.weight = values(a.weight);
        c.bias = in(a.bias);
        c.function = function(a.activation);
        c.residual = in(a.residual);
        c.out = out(a.out);
        ref::conv2d(c);
    }
    void upsample2x(const TensorView& x, const TensorView& to) override {
        ref::upsample2x(in(x), x.shape[0], x.shape[1], x.shape[2], x.shape[3], out(to));
    }

    void unary(Unary f, const TensorView& x, const TensorView& to) override {
        ref::unary(function(f), in(x), x.elements(), out(to));
    }
    void gated_gelu(const TensorView& x, const TensorView& to) override {
        ref::gated_gelu(in(x), to.shape.rows(), to.shape.columns(), out(to));
    }
    void lincomb(std::span<const LincombTerm> terms, const TensorView& to) override {
        std::vector<double> coefficients;
        std::vector<ref::In> inputs;
        for (const auto& term : terms) {
            coefficients.push_back(term.coefficient);
            inputs.push_back(in(term.x));
        }
        ref::lincomb(coefficients.data(), inputs.data(), static_cast<std::int64_t>(terms.size()), to.elements(), out(to));
    }
    void gather(const TensorView& table, std::span<const std::int32_t> ids, const TensorView& to) override {
        ref::gather(in(table), ids.data(), static_cast<std::int64_t>(ids.size()), table.shape[1], out(to));
    }
    void patchify(const TensorView& latents, std::int64_t patch, const TensorView& to) override {
        const Shape& s = latents.shape;
        ref::patchify(in(latents), s[0], s[1], s[2], s[3], patch, out(to));
    }
    void unpatchify(const TensorView& tokens, std::int64_t patch, const TensorView& to) override {
        const Shape& s = to.shape;
        ref::unpatchify(in(tokens), tokens.shape.columns() / (patch * patch), s[0], s[1], s[2], s[3], patch, out(to));
    }
    void timestep_embed(std::span<const float> timesteps, float shift, const TensorView& to) override {
        ref::timestep_embed(timesteps.data(), to.shape.rows(), to.shape.columns(), shift, out(to));
    }
    void residual_norm(const ResidualNormArgs& a) override {
        ref::residual_norm({.m = a.stream.shape.rows(),
                            .c = a.stream.shape.columns(),
                            .y = in(a.y),
                            .gate = in(a.gate),
                            .gate_rows = rows(a.gate),
                            .stream = static_cast<float*>(a.stream.data),
                            .shift = in(a.shift),
                            .scale = in(a.scale),
                            .groups = rows(a.shift),
                            .eps = a.eps,
                            .out = out(a.out)});
    }
    void sampler_update(const SamplerUpdateArgs& a) override { sampler_update_by_sums(*this, a); }
    void limit(const LimitArgs& a) override { limit_on_host(a); }
    void to_rgb8(const TensorView& x, const TensorView& to) override {
        ref::to_rgb8(x.as<float>().data(), x.elements(), to.as<std::uint8_t>().data());
    }
    void cast(const TensorView& x, const TensorView& to) override {
        if (is_block_type(x.dtype)) return cast_from_blocks(x, to);
        ref::cast(in(x), x.elements(), out(to));
    }
    void to_channels_last(const TensorView& x, const TensorView& to) override {
        ref::to_channels_last(in(x), x.shape[0], x.shape[1], x.shape[2] * x.shape[3], out(to));
    }
    void to_channels_first(const TensorView& x, const TensorView& to) override {
        ref::to_channels_first(in(x), x.shape[0], x.shape[3], x.shape[1] * x.shape[2], out(to));
    }

  private:
    static std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute) {
        auto packed = std::make_unique<RefWeight>();
        packed->shape = weight.shape;
        packed->compute = compute;
        packed->values.resize(static_cast<std::size_t>(weight.elements()));
        convert_to_f32(weight.data, weight.dtype, packed->values.size(), packed->values.data());
        if (compute == DType::bf16)
            for (float& v : packed->values) v = to_f32(to_bf16(v));
        return packed;
    }
    static const float* values(const PackedWeight* weight) {
        const auto* packed = dynamic_cast<const RefWeight*>(weight);
        T2I_CHECK(packed != nullptr, "a weight packed by another backend");
        return packed->values.data();
    }
};

}  // namespace

std::unique_ptr<Backend> make_ref_backend() {
    return std::make_unique<RefBackend>();
}

}  // namespace t2i
