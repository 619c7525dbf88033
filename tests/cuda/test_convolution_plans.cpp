// cuDNN plans for a GPU that is described and not there: that our graphs are ones it has exact engines for is known before
// any GPU is at hand. Skipped where cuDNN is missing.
#include "backend/cuda/convolution_plan.h"
#include "cuda/described_gpu.h"
#include "support/catch.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::cuda;
using namespace t2i::test;

namespace {

struct Layer {
    std::int64_t in, out, size, kernel, stride;
    std::array<std::int64_t, 4> padding;
};
constexpr std::array<std::int64_t, 4> none{}, same{1, 1, 1, 1};

ConvolutionShape shape_of(const Layer& layer, DType dtype) {
    return {.height = layer.size,
            .width = layer.size,
            .in_channels = layer.in,
            .out_channels = layer.out,
            .kernel_height = layer.kernel,
            .kernel_width = layer.kernel,
            .stride = layer.stride,
            .padding = layer.padding,
            .dtype = dtype,
            .out_type = dtype,
            .bias_type = dtype,
            .has_bias = true};
}

}  // namespace

TEST_CASE("cuDNN has an exact plan with bias, residual and ReLU for every convolution of the decoders") {
    const DType dtype = GENERATE(DType::f32, DType::bf16);
    const auto layer = GENERATE(values<Layer>({
        {8, 512, 32, 3, 1, same},  // of AutoencoderKL: 4 channels, padded
        {8, 8, 32, 1, 1, none},
        {512, 512, 32, 3, 1, same},
        {512, 512, 64, 3, 1, same},
        {512, 256, 128, 3, 1, same},
        {512, 256, 128, 1, 1, none},
        {256, 128, 256, 3, 1, same},
        {128, 128, 256, 3, 1, same},
        {128, 8, 256, 3, 1, same},
        {8, 64, 32, 3, 1, same},  // of TAESD
        {64, 64, 32, 3, 1, same},
        {64, 64, 256, 3, 1, same},
        {64, 8, 256, 3, 1, same},
        {8, 8, 1, 1, 1, none},  // of the conformance suite
        {32, 32, 17, 3, 2, none},
    }));
    const auto gpu = described_gpu();
    if (!gpu) return;
    for (const bool has_residual : {false, true})
        for (const bool has_relu : {false, true}) {
            ConvolutionShape shape = shape_of(layer, dtype);
            shape.has_residual = has_residual;
            shape.has_relu = has_relu;
            std::string why;
            const auto plan = ConvolutionPlan::find(cudnn(), {.properties = &*gpu}, shape, std::size_t{256} << 20, why);
            INFO(shape.text() << (has_residual ? ", residual" : "") << (has_relu ? ", ReLU: " : ": ") << why);
            CHECK(plan.has_value());
        }
}

TEST_CASE("a convolution without an output is refused as an error of ours") {
    const auto gpu = described_gpu();
    if (!gpu) return;
    const ConvolutionShape shape = shape_of({8, 8, 1, 3, 1, none}, DType::f32);  // 3x3 on one pixel without padding
    std::string why;
    const std::string message = message_of(ErrorCode::resource, [&] {
        static_cast<void>(ConvolutionPlan::find(cudnn(), {.properties = &*gpu}, shape, std::size_t{256} << 20, why));
    });
    CHECK(contains(message, "cuDNN: "));
}
