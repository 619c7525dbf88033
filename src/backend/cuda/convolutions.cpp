#include "backend/cuda/convolutions.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "backend/cuda/status.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

constexpr std::size_t workspace_limit = std::size_t{256} << 20;

std::size_t bytes_of(std::int64_t elements, DType dtype) {
    return static_cast<std::size_t>(elements) * size_of(dtype);
}

}  // namespace

Convolutions::Convolutions(std::shared_ptr<DeviceMemory> memory, bool whole_batches)
    : memory_(std::move(memory)),
      dnn_(cudnn()),
      whole_batches_(whole_batches),
      session_(dnn_, memory_->stream()),
      input_(memory_),
      output_(memory_),
      residual_(memory_),
      sums_(memory_),
      workspace_(memory_) {}

const Convolutions::Choice& Convolutions::choice_for(const ConvolutionShape& shape) {
    const auto known = choices_.find(shape);
    if (known != choices_.end()) return known->second;
    memory_->recording().refuse_unplanned("conv2d of " + shape.text());
    std::string why_not_fused, why_not;
    Choice choice;
    choice.fused = ConvolutionPlan::find(dnn_, {.handle = session_.handle()}, shape, workspace_limit, why_not_fused);
    if (!choice.fused && !shape.has_residual) {
        ConvolutionShape plain = shape;
        plain.has_bias = plain.has_relu = false;
        plain.out_type = plain.bias_type = DType::f32;
        choice.sums = ConvolutionPlan::find(dnn_, {.handle = session_.handle()}, plain, workspace_limit, why_not);
        if (!choice.sums)
            throw Error(ErrorCode::resource,
                        "cuDNN " + dnn_.about.version + " has no exact plan for a convolution of " + shape.text() + ": fused, " +
                            why_not_fused + "; alone, " + why_not +
                            (shape.dtype == DType::bf16 ? " (it compiles some with libnvrtc; fast_math needs fewer)" : ""));
    }
    return choices_.emplace(shape, std::move(choice)).first->second;
}

const std::byte* Convolutions::staged_input(const Convolution& c, ConvolutionShape& shape) {
    const auto& p = c.padding;
    const bool pads_borders = p[0] != p[2] || p[1] != p[3];
    const std::int64_t channels = c.x.shape[3];
    const auto* from = static_cast<const std::byte*>(c.x.data);
    if (!pads_borders && shape.in_channels == channels) return from;
    const std::int64_t top = pads_borders ? p[0] : 0, left = pads_borders ? p[1] : 0;
    const std::int64_t height = shape.height, width = shape.width;
    if (pads_borders) {
        shape.height += p[0] + p[2];
        shape.width += p[1] + p[3];
        shape.padding = {};
    }
    const std::int64_t pictures = c.x.shape[0], picture = shape.height * shape.width * shape.in_channels;
    std::byte* to = input_.reserve(bytes_of(pictures * picture, shape.dtype));
    check(cudaMemsetAsync(to, 0, bytes_of(pictures * picture, shape.dtype), memory_->stream()), "pad a picture");
    const std::size_t from_pixel = bytes_of(channels, shape.dtype), to_pixel = bytes_of(shape.in_channels, shape.dtype);
    for (std::int64_t b = 0; b < pictures; ++b) {
        cudaMemcpy3DParms copy{};
        copy.srcPtr = make_cudaPitchedPtr(const_cast<std::byte*>(from + bytes_of(b * height * width * channels, shape.dtype)),
                                          from_pixel, from_pixel, static_cast<std::size_t>(width));
        copy.dstPtr =
            make_cudaPitchedPtr(to + bytes_of(b * picture + (top * shape.width + left) * shape.in_channels, shape.dtype),
                                to_pixel, to_pixel, static_cast<std::size_t>(shape.width));
        copy.extent = make_cudaExtent(from_pixel, static_cast<std::size_t>(width), static_cast<std::size_t>(height));
        copy.kind = cudaMemcpyDeviceToDevice;
        check(cudaMemcpy3DAsync(&copy, memory_->stream()), "pad a picture");
    }
    return to;
}

bool Convolutions::convolve(const Convolution& c, const FinishConvolution& finish) {
    const Shape& f = c.filter_shape;
    const std::int64_t pictures = c.x.shape[0];
    if (pictures == 0) return true;
    ConvolutionShape shape{.batch = whole_batches_ ? pictures : 1,
                           .height = c.x.shape[1],
                           .width = c.x.shape[2],
                           .in_channels = padded(f[1]),
                           .out_channels = padded(f[0]),
                           .kernel_height = f[2],
                           .kernel_width = f[3],
                           .stride = c.stride,
                           .padding = c.padding,
                           .dtype = c.x.dtype,
                           .out_type = c.out.dtype,
                           .bias_type = c.bias_type,
                           .has_residual = c.residual != nullptr,
                           .has_bias = c.fused_bias != nullptr,
                           .has_relu = c.activation == Activation::relu};
    const std::byte* x = staged_input(c, shape);
    const Choice& choice = choice_for(shape);
    if (!choice.fused && !choice.sums) return false;
    const ConvolutionPlan& plan = choice.fused ? *choice.fused : *choice.sums;

    const DType out_type = shape.out_type;
    const std::int64_t pixels = pictures * shape.out_height() * shape.out_width(), width = shape.out_channels,
                       out_width = c.out.shape[3];
    // cuDNN does not promise that a residual may be the result.
    const bool is_staged = width != out_width || c.residual == c.out.data;
    auto* y = is_staged ? output_.reserve(bytes_of(pixels * width, out_type)) : static_cast<std::byte*>(c.out.data);
    const auto* residual = static_cast<const std::byte*>(c.residual);
    if (residual && width != out_width) {
        std::byte* wide = residual_.reserve(bytes_of(pixels * width, out_type));
        check(cudaMemsetAsync(wide, 0, bytes_of(pixels * width, out_type), memory_->stream()), "pad a picture");
        copy_pixels(residual, out_width, wide, width, pixels, out_type);
        residual = wide;
    }
    const std::int64_t in_elements = shape.batch * shape.height * shape.width * shape.in_channels,
                       out_elements = pixels / (pictures / shape.batch) * width;
    std::byte* sums = choice.fused || out_type == DType::f32 ? nullptr : sums_.reserve(bytes_of(out_elements, DType::f32));
    std::byte* workspace = workspace_.reserve(plan.workspace_bytes());
    for (std::int64_t part = 0; part < pictures / shape.batch; ++part) {
        const std::size_t at = bytes_of(part * out_elements, out_type);
        std::byte* stored = sums ? sums : y + at;
        plan.execute(session_.handle(),
                     {.x = x + bytes_of(part * in_elements, shape.dtype),
                      .w = c.filter,
                      .residual = residual ? residual + at : nullptr,
                      .bias = c.fused_bias,
                      .y = stored},
                     workspace);
        if (choice.fused) continue;
        const Shape rows{out_elements / width, width};
        finish({stored, DType::f32, Device::cuda, rows}, c.bias, c.activation, {y + at, out_type, Device::cuda, rows});
    }
    if (is_staged) copy_pixels(y, width, c.out.data, out_width, pixels, out_type);
    return true;
}

// The first channels of every pixel, as many as both have.
void Convolutions::copy_pixels(const void* from, std::int64_t from_channels, void* to, std::int64_t to_channels,
                               std::int64_t pixels, DType dtype) const {
    check(cudaMemcpy2DAsync(to, bytes_of(to_channels, dtype), from, bytes_of(from_channels, dtype),
                            bytes_of(std::min(from_channels, to_channels), dtype), static_cast<std::size_t>(pixels),
                            cudaMemcpyDeviceToDevice, memory_->stream()),
          "copy on the GPU");
}

}  // namespace t2i::cuda
