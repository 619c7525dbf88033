// A convolution as a graph of cuDNN's, and the plan that executes it.
#pragma once

#include "backend/cuda/cudnn_graph.h"

namespace t2i::cuda {

// y = relu?(conv(x, w) + residual? + bias?) in one kernel that rounds once. Channels last; x and w of one dtype.
//
// What cuDNN 9.19 has for compute capability 9.0 (asked with a described GPU, see tests/cuda): engines that are ready, in f32 and
// in bf16, where there is a bias of the dtype of x and y, with or without the rest. With an f32 bias or an f32 result, bf16
// needs an engine that cuDNN compiles at the first use of a shape, with NVRTC.
struct ConvolutionShape {
    std::int64_t batch = 1, height = 1, width = 1, in_channels = 1, out_channels = 1, kernel_height = 1, kernel_width = 1,
                 stride = 1;
    std::array<std::int64_t, 4> padding{};  // top, left, bottom, right
    DType dtype = DType::f32, out_type = DType::f32;
    DType bias_type = DType::f32;
    bool has_residual = false, has_bias = false, has_relu = false;  // the residual has the dtype of y
    bool operator==(const ConvolutionShape&) const = default;
    auto operator<=>(const ConvolutionShape&) const = default;
    [[nodiscard]] std::int64_t out_height() const { return (height + padding[0] + padding[2] - kernel_height) / stride + 1; }
    [[nodiscard]] std::int64_t out_width() const { return (width + padding[1] + padding[3] - kernel_width) / stride + 1; }
    [[nodiscard]] std::string text() const;
};

class ConvolutionPlan {
  public:
    // The first plan of cuDNN's heuristics that keeps the house's promises: deterministic, sums in f32, no transform
    // (Winograd, FFT), f32 inputs not rounded, at most `workspace_limit` bytes. None: nullopt, and `why` says what cuDNN had.
    static std::optional<ConvolutionPlan> find(const Cudnn& dnn, const PlanTarget& target, const ConvolutionShape& shape,
                                               std::size_t workspace_limit, std::string& why);

    [[nodiscard]] std::size_t workspace_bytes() const { return plan_.workspace_bytes(); }
    // Aligned to 16 bytes; residual and bias are read where the shape has them.
    struct Operands {
        const void *x = nullptr, *w = nullptr, *residual = nullptr, *bias = nullptr;
        void* y = nullptr;
    };
    void execute(cudnnHandle_t handle, const Operands& o, void* workspace) const;

  private:
    ConvolutionPlan(GraphPlan plan, const ConvolutionShape& shape)
        : plan_(std::move(plan)), has_residual_(shape.has_residual), has_bias_(shape.has_bias) {}
    GraphPlan plan_;
    bool has_residual_, has_bias_;
};

}  // namespace t2i::cuda
