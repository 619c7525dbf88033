// Convolutions by cuDNN, each shape by one plan chosen at its first use.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "backend/cuda/convolution_plan.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/scratch.h"
#include "ops/backend.h"

namespace t2i::cuda {

// out = activation(conv(x) + bias + residual), channels last, in memory of the GPU.
struct Convolution {
    TensorView x;                  // [B, H, W, Cin]
    const void* filter = nullptr;  // [padded Cout, KH, KW, padded Cin], dtype of x, padded with zeros
    Shape filter_shape;            // [Cout, Cin, KH, KW]
    std::int64_t stride = 1;
    std::array<std::int64_t, 4> padding{};     // top, left, bottom, right
    Activation activation = Activation::none;  // none or relu
    const void* fused_bias = nullptr;          // [padded Cout] for cuDNN, in bias_type; zeros where there is none
    DType bias_type = DType::f32;
    const float* bias = nullptr;     // [padded Cout] f32, for `finish`; or null
    const void* residual = nullptr;  // as out, may be out itself; or null
    TensorView out;                  // [B, H', W', Cout], dtype of x or f32
};

// out = activation(sums + bias): sums [rows, C] f32, bias [C] f32 or null, out [rows, C] f32 or bf16, may be sums.
using FinishConvolution =
    std::function<void(const TensorView& sums, const float* bias, Activation activation, const TensorView& out)>;

class Convolutions {
  public:
    // cuDNN's tensor-core engines read channels in groups of 16 bytes; we pad to a multiple of this for every dtype.
    static constexpr std::int64_t granule = 8;
    [[nodiscard]] static std::int64_t padded(std::int64_t channels) { return (channels + granule - 1) / granule * granule; }

    // Throws Error{resource} without cuDNN. `whole_batches`: BackendOptions::fast_math.
    Convolutions(std::shared_ptr<DeviceMemory> memory, bool whole_batches);

    // Queues the convolution. A plan is made at a shape's first use, and scratch grows as needed: refused within a recording,
    // which holds a shape that was convolved before.
    //
    // A picture's result does not depend on its batch: pictures are convolved one at a time by the plan of a single one. Only
    // `whole_batches` hands cuDNN the batch, whose plan may differ with its size.
    //
    // Bias and activation are fused where cuDNN has an exact plan for that; else sums are stored in f32 and `finish` does the
    // rest. A residual is fused or not at all: false, and out is untouched. Throws Error{resource} when cuDNN has no exact
    // plan, saying why.
    [[nodiscard]] bool convolve(const Convolution& c, const FinishConvolution& finish);

  private:
    struct Choice {
        std::optional<ConvolutionPlan> fused;  // else sums
        std::optional<ConvolutionPlan> sums;   // f32 out; neither where a residual cannot be fused
    };
    [[nodiscard]] const Choice& choice_for(const ConvolutionShape& shape);
    // x with its channels padded, and its borders where the two sides of an axis differ: the plan then pads nothing.
    [[nodiscard]] const std::byte* staged_input(const Convolution& c, ConvolutionShape& shape);
    void copy_pixels(const void* from, std::int64_t from_channels, void* to, std::int64_t to_channels, std::int64_t pixels,
                     DType dtype) const;

    std::shared_ptr<DeviceMemory> memory_;
    const Cudnn& dnn_;
    bool whole_batches_;
    CudnnSession session_;
    std::map<ConvolutionShape, Choice> choices_;
    Scratch input_, output_, residual_, sums_, workspace_;
};

}  // namespace t2i::cuda
