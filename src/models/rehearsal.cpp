#include "models/rehearsal.h"

#include <sys/mman.h>

#include <algorithm>

#include "checkpoint/stored_dtype.h"
#include "core/check.h"
#include "core/out_of_memory.h"

namespace t2i {

namespace {

class Zeros final : public CheckpointReader {
  public:
    explicit Zeros(std::unique_ptr<CheckpointReader> reader) : reader_(std::move(reader)) {
        for (const Entry& entry : reader_->entries()) bytes_ = std::max(bytes_, entry.bytes);
        if (bytes_ == 0) return;
        // Every page of it is the kernel's one page of zeros until somebody writes, and nobody does.
        zeros_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (zeros_ == MAP_FAILED) throw OutOfMemory("no address space: " + std::to_string(bytes_) + " bytes wanted");
    }
    ~Zeros() override {
        if (bytes_ > 0) ::munmap(zeros_, bytes_);
    }
    Zeros(const Zeros&) = delete;
    Zeros& operator=(const Zeros&) = delete;
    [[nodiscard]] const std::vector<Entry>& entries() const override { return reader_->entries(); }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return reader_->metadata(); }
    [[nodiscard]] TensorView tensor(const std::string& name) const override {
        const Entry* entry = find_entry(*reader_, name);
        if (!entry) return reader_->tensor(name);  // which throws
        const TensorView view{.data = zeros_, .dtype = dtype_of(*entry), .shape = entry->shape};
        T2I_CHECK(view.bytes() <= bytes_, "a tensor larger than its entry");
        return view;
    }

  private:
    std::unique_ptr<CheckpointReader> reader_;
    std::size_t bytes_ = 0;
    void* zeros_ = nullptr;
};

class Rehearsal final : public Backend {
  public:
    [[nodiscard]] std::string_view name() const override { return "rehearsal"; }
    [[nodiscard]] std::string description() const override { return "nothing"; }
    [[nodiscard]] bool supports(Op, DType) const override { return true; }
    [[nodiscard]] Buffer allocate(std::size_t) override { return {&nothing_, 0, Device::host, {}}; }
    void copy(const TensorView&, const TensorView&) override {}
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) override {
        return packed(weight, compute);
    }
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_stacked(std::span<const TensorView> weights, DType compute) override {
        auto all = packed(weights[0], compute);
        std::int64_t rows = 0;
        for (const TensorView& weight : weights) rows += weight.shape[0];
        all->shape = {rows, weights[0].shape[1]};
        return all;
    }
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute, const Conv2dUse&) override {
        return packed(weight, compute);
    }
    void linear(const LinearArgs&) override { refuse(); }
    void attention(const AttentionArgs&) override { refuse(); }
    void norm_modulate(const NormModulateArgs&) override { refuse(); }
    void rms_norm(const TensorView&, const TensorView&, float, const TensorView&) override { refuse(); }
    void group_norm(const GroupNormArgs&) override { refuse(); }
    void conv2d(const Conv2dArgs&) override { refuse(); }
    void upsample2x(const TensorView&, const TensorView&) override { refuse(); }
    void unary(Unary, const TensorView&, const TensorView&) override { refuse(); }
    void gated_gelu(const TensorView&, const TensorView&) override { refuse(); }
    void lincomb(std::span<const LincombTerm>, const TensorView&) override { refuse(); }
    void gather(const TensorView&, std::span<const std::int32_t>, const TensorView&) override { refuse(); }
    void patchify(const TensorView&, std::int64_t, const TensorView&) override { refuse(); }
    void unpatchify(const TensorView&, std::int64_t, const TensorView&) override { refuse(); }
    void timestep_embed(std::span<const float>, float, const TensorView&) override { refuse(); }
    void cast(const TensorView&, const TensorView&) override { refuse(); }
    void residual_norm(const ResidualNormArgs&) override { refuse(); }
    void sampler_update(const SamplerUpdateArgs&) override { refuse(); }
    void to_rgb8(const TensorView&, const TensorView&) override { refuse(); }
    void to_channels_last(const TensorView&, const TensorView&) override { refuse(); }
    void to_channels_first(const TensorView&, const TensorView&) override { refuse(); }
    void limit(const LimitArgs&) override { refuse(); }

  private:
    static void refuse() { T2I_CHECK(false, "an operation while loading is rehearsed"); }
    static std::unique_ptr<PackedWeight> packed(const TensorView& weight, DType compute) {
        auto packed = std::make_unique<PackedWeight>();
        packed->shape = weight.shape;
        packed->compute = compute;
        packed->is_known_finite = true;
        return packed;
    }
    std::byte nothing_{};
};

}  // namespace

std::unique_ptr<CheckpointReader> as_zeros(std::unique_ptr<CheckpointReader> reader) {
    return std::make_unique<Zeros>(std::move(reader));
}

std::unique_ptr<Backend> make_rehearsal_backend() {
    return std::make_unique<Rehearsal>();
}

}  // namespace t2i
