// The backend on an NVIDIA GPU: kernels of our own (DeviceOps), products by cuBLASLt, convolutions by cuDNN.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/attentions.h"
#include "backend/cuda/convolutions.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/matmuls.h"
#include "backend/cuda/queue_clock.h"
#include "backend/cuda/scratch.h"
#include "backend/cuda/transfers.h"
#include "backend/cuda_module.h"
#include "backend/gpu/device_ops.h"

namespace t2i::cuda {

// Used from one thread at a time. Operations return before they are done and are done in order; what fails in them is
// thrown by the next call that waits (copy to the host, wait) or, at the latest, that hands over more.
class CudaBackend final : public DeviceOps {
  public:
    // Throws Error{resource}: no driver, no such GPU, no code for it, no cuBLASLt. Without cuDNN there is no conv2d.
    explicit CudaBackend(const CudaOptions& options);

    [[nodiscard]] std::string_view name() const override { return "cuda"; }
    [[nodiscard]] std::string description() const override;
    [[nodiscard]] bool supports(Op op, DType dtype) const override;
    [[nodiscard]] Device device() const override { return Device::cuda; }
    [[nodiscard]] Buffer allocate(std::size_t bytes) override;
    void copy(const TensorView& from, const TensorView& to) override;

    [[nodiscard]] Buffer allocate_staging(std::size_t bytes) override;
    void copy_queued(const TensorView& from, const TensorView& to) override;
    Fence fence() override;
    void wait(Fence fence) override;
    [[nodiscard]] Timestamp timestamp() override { return memory_->recording().is_active() ? 0 : queue_clock_.timestamp(); }
    [[nodiscard]] std::chrono::steady_clock::time_point time_of(Timestamp timestamp) override {
        return queue_clock_.time_of(timestamp);
    }
    // A CUDA graph.
    [[nodiscard]] std::unique_ptr<Recording> record(std::function<void()> work) override;
    void begin_range(const char* name) override;
    void end_range() override;
    [[nodiscard]] Memory memory() const override { return memory_->free_and_total(); }
    void bind_thread() override { memory_->make_current(); }

    // With fast_math by cuDNN, where that is faster than our kernel.
    void attention(const AttentionArgs& a) override;
    // A residual is fused into cuDNN's kernel where it has one for that, else added by DeviceOps.
    void conv2d(const Conv2dArgs& a) override;

    [[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) override;
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute,
                                                            const Conv2dUse& use) override;

  protected:
    [[nodiscard]] cudaStream_t stream() const override { return memory_->stream(); }
    void multiply(const MatmulArgs& a) override;
    void convolve(const ConvolutionArgs& a) override;
    [[nodiscard]] bool rounds_weights() const override { return fast_math_; }
    [[nodiscard]] void* workspace(std::size_t bytes) override;

  private:
    // A bias as a library reads it, and whether that is the same numbers.
    struct BiasView {
        const void* data = nullptr;
        bool is_exact = true;
    };
    [[nodiscard]] BiasView prepared_bias(const PackedWeight& weight, const float* bias, DType dtype);
    // What of a product cuBLASLt does; a kernel of ours does the rest.
    struct Fusion {
        DType stored = DType::f32;  // dtype of the library's result
        bool adds_bias = false, activates = false;
    };
    [[nodiscard]] Fusion best_fusion(const MatmulArgs& a);
    [[nodiscard]] bool multiply(const MatmulArgs& a, const Fusion& fusion);  // false: the library has no algorithm
    [[nodiscard]] const void* zero_bias(const PackedWeight& weight, DType dtype);
    [[nodiscard]] bool convolve(const ConvolutionArgs& a, const void* residual);
    void copy_rows(const void* from, std::int64_t from_width, void* to, std::int64_t to_width, std::int64_t rows, DType dtype);

    std::shared_ptr<DeviceMemory> memory_;
    Transfers transfers_;
    QueueClock queue_clock_;
    Matmuls matmuls_;
    std::unique_ptr<Convolutions> convolutions_;  // null without cuDNN
    std::unique_ptr<Attentions> attentions_;      // null without cuDNN or fast_math
    bool fast_math_;
    Scratch workspace_, padded_input_, padded_output_, sums_;
};

}  // namespace t2i::cuda
