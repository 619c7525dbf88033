#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/attention.h"
#include "backend/cpu/group_norm.h"
#include "backend/cpu/layout.h"
#include "backend/cpu/matmuls.h"
#include "backend/cpu/winograd.h"
#include "backend/kernel_arguments.h"
#include "backend/ref/arguments.h"
#include "core/number_text.h"
#include "kernels/cpu/cpu_kernels.h"
#include "ops/composed.h"

namespace t2i {
namespace {

// Elements of one part of a pointwise loop: 32 KB of f32 in and out stays in the first cache levels.
constexpr std::int64_t elements_per_part = 8192;

class CpuBackend final : public Backend {
  public:
    explicit CpuBackend(int threads)
        : workers_(threads), matmuls_(workers_, bf16_), winograd_(workers_), attention_(workers_, bf16_) {}

    std::string_view name() const override { return "cpu"; }
    std::string description() const override { return "CPU, " + counted(workers_.threads(), "thread") + ", " + hardware(); }
    std::string hardware() const override {
        return cpu::simd_target_name() + std::string(bf16_ == cpu::Bf16Kernel::amx      ? ", bf16 by AMX"
                                                     : bf16_ == cpu::Bf16Kernel::avx512 ? ", bf16 by AVX-512"
                                                                                        : "");
    }
    bool supports(Op op, DType dtype) const override {
        const bool product = op == Op::linear || op == Op::conv2d;
        return dtype == DType::f32 || (dtype == DType::bf16 && (!product || bf16_ != cpu::Bf16Kernel::none));
    }
    bool is_quicker_in_bf16() const override { return cpu::bf16_is_quick(bf16_); }
    Buffer allocate(std::size_t bytes) override { return Buffer::host(bytes); }
    void copy(const TensorView& source, const TensorView& target) override {
        T2I_CHECK(source.dtype == target.dtype && source.elements() == target.elements(), "copy of unlike tensors");
        std::memcpy(target.data, source.data, source.bytes());
    }
    std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) override {
        return matmuls_.pack_linear(std::span(&weight, 1), compute);
    }
    std::unique_ptr<PackedWeight> pack_stacked(std::span<const TensorView> weights, DType compute) override {
        return matmuls_.pack_linear(weights, compute);
    }
    std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute, const Conv2dUse& use) override {
        if (cpu::Winograd::suits(weight.shape, compute, use)) return winograd_.pack(weight, compute, use);
        return matmuls_.pack_conv2d(weight, compute);
    }

    void reuse_weight_memory(bool reuse) override { matmuls_.reuse_weight_memory(reuse); }

    void linear(const LinearArgs& a) override {
        const std::int64_t m = a.x.shape.rows();
        matmuls_.multiply(cpu::windows_of(a.x), *a.weight,
                          {.columns = a.weight->shape[0],
                           .bias = floats(a.bias),
                           .before = {},
                           .function = function(a.activation),
                           .gate = floats(a.gate),
                           .rows_per_gate = a.gate ? m / a.gate->shape.rows() : 1,
                           .after = floats(a.residual),
                           .after_rows = a.residual ? a.residual->shape.rows() : 1,
                           .out = mutable_elements(a.out)});
    }
    bool makes_conv2d_input(const Conv2dArgs& a) const override { return cpu::Winograd::takes(a); }
    void conv2d(const Conv2dArgs& a) override {
        if (cpu::Winograd::takes(a)) return winograd_.run(a);
        matmuls_.multiply(cpu::windows_of(a), *a.weight,
                          {.columns = a.weight->shape[0],
                           .bias = floats(a.bias),
                           .before = elements(a.residual),
                           .function = function(a.activation),
                           .out = mutable_elements(a.out)});
    }
    void attention(const AttentionArgs& a) override { attention_.run(a); }

    void norm_modulate(const NormModulateArgs& a) override {
        const std::int64_t c = a.x.shape.columns(), rows_per_group = a.x.shape.rows() / a.shift.shape.rows();
        each_row(a.x, [&](std::int64_t row) {
            const std::int64_t group = row / rows_per_group * c;
            cpu::norm_modulate_row(floats(a.x) + row * c, floats(a.shift) + group, floats(a.scale) + group, c, a.eps,
                                   mutable_elements(a.out, row * c));
        });
    }
    void residual_norm(const ResidualNormArgs& a) override {
        const std::int64_t c = a.stream.shape.columns(), m = a.stream.shape.rows();
        const std::int64_t rows_per_gate = a.gate ? m / a.gate->shape.rows() : 1;
        const std::int64_t rows_per_group = a.shift ? m / a.shift->shape.rows() : 1;
        each_row(a.stream, [&](std::int64_t row) {
            float* stream = mutable_floats(a.stream) + row * c;
            cpu::add_gated_row(elements(a.y, row * c), a.gate ? floats(a.gate) + row / rows_per_gate * c : nullptr, c, stream);
            const std::int64_t group = row / rows_per_group * c;
            if (a.shift)
                cpu::norm_modulate_row(stream, floats(a.shift) + group, floats(a.scale) + group, c, a.eps,
                                       mutable_elements(a.out, row * c));
            else cpu::convert({stream, false}, c, mutable_elements(a.out, row * c));
        });
    }
    void rms_norm(const TensorView& x, const TensorView& weight, float eps, const TensorView& out) override {
        const std::int64_t c = x.shape.columns();
        each_row(x, [&](std::int64_t row) {
            cpu::rms_norm_row(floats(x) + row * c, floats(weight), c, eps, mutable_elements(out, row * c));
        });
    }
    void group_norm(const GroupNormArgs& a) override { cpu::group_norm(workers_, a); }

    void upsample2x(const TensorView& x, const TensorView& out) override { cpu::upsample2x(workers_, x, out); }
    void unary(Unary f, const TensorView& x, const TensorView& out) override {
        workers_.run_ranges(x.elements(), elements_per_part, [&](std::int64_t begin, std::int64_t count) {
            cpu::apply(function(f), elements(x, begin), count, mutable_elements(out, begin));
        });
    }
    void gated_gelu(const TensorView& x, const TensorView& out) override {
        const std::int64_t f = out.shape.columns();
        each_row(x, [&](std::int64_t row) { cpu::gated_gelu_row(elements(x, row * 2 * f), f, mutable_elements(out, row * f)); });
    }
    void lincomb(std::span<const LincombTerm> terms, const TensorView& out) override {
        std::vector<double> coefficients;
        for (const auto& term : terms) coefficients.push_back(term.coefficient);
        const std::size_t pointers_bytes = terms.size() * sizeof(const float*);
        workers_.reserve(pointers_bytes);
        const std::int64_t total = out.elements(), parts = (total + elements_per_part - 1) / elements_per_part;
        workers_.run(parts, [&](std::int64_t part, void* scratch) {
            const std::int64_t begin = part * elements_per_part;
            auto** pointers = static_cast<const float**>(scratch);
            for (std::size_t t = 0; t < terms.size(); ++t) pointers[t] = floats(terms[t].x) + begin;
            cpu::lincomb(coefficients.data(), pointers, static_cast<std::int64_t>(terms.size()),
                         std::min(elements_per_part, total - begin), mutable_floats(out) + begin);
        });
    }
    void sampler_update(const SamplerUpdateArgs& a) override { sampler_update_by_sums(*this, a); }
    void limit(const LimitArgs& a) override { limit_on_host(a); }
    void to_rgb8(const TensorView& x, const TensorView& out) override {
        workers_.run_ranges(x.elements(), elements_per_part, [&](std::int64_t begin, std::int64_t count) {
            cpu::to_rgb8(floats(x) + begin, count, static_cast<std::uint8_t*>(out.data) + begin);
        });
    }
    void gather(const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) override {
        cpu::gather(workers_, table, ids, out);
    }
    void cast(const TensorView& x, const TensorView& out) override {
        if (is_block_type(x.dtype)) return cast_from_blocks(x, out);
        workers_.run_ranges(x.elements(), elements_per_part, [&](std::int64_t begin, std::int64_t count) {
            if (x.dtype == DType::f16)
                convert_to_f32(elements(x, begin).data, DType::f16, static_cast<std::size_t>(count), mutable_floats(out) + begin);
            else cpu::convert(elements(x, begin), count, mutable_elements(out, begin));
        });
    }
    void to_channels_last(const TensorView& x, const TensorView& out) override { cpu::to_channels_last(workers_, x, out); }
    void to_channels_first(const TensorView& x, const TensorView& out) override { cpu::to_channels_first(workers_, x, out); }

    // The next three move or make a few thousand numbers a step: the reference is fast enough.
    void patchify(const TensorView& latents, std::int64_t patch, const TensorView& out) override {
        const Shape& s = latents.shape;
        ref::patchify(ref::in(latents), s[0], s[1], s[2], s[3], patch, ref::out(out));
    }
    void unpatchify(const TensorView& tokens, std::int64_t patch, const TensorView& out) override {
        const Shape& s = out.shape;
        ref::unpatchify(ref::in(tokens), tokens.shape.columns() / (patch * patch), s[0], s[1], s[2], s[3], patch, ref::out(out));
    }
    void timestep_embed(std::span<const float> timesteps, float shift, const TensorView& out) override {
        ref::timestep_embed(timesteps.data(), out.shape.rows(), out.shape.columns(), shift, ref::out(out));
    }

  private:
    // Calls visit(row) for every row of x, several rows to a part.
    template <typename Visit>
    void each_row(const TensorView& x, Visit visit) {
        const std::int64_t rows_per_part = std::max<std::int64_t>(1, elements_per_part / x.shape.columns());
        workers_.run_ranges(x.shape.rows(), rows_per_part, [&](std::int64_t begin, std::int64_t count) {
            for (std::int64_t row = begin; row < begin + count; ++row) visit(row);
        });
    }

    cpu::Bf16Kernel bf16_ = cpu::bf16_kernel();
    cpu::Workers workers_;
    cpu::Matmuls matmuls_;
    cpu::Winograd winograd_;
    cpu::Attention attention_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads) {
    return std::make_unique<CpuBackend>(threads);
}

}  // namespace t2i
