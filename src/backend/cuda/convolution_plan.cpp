#include "backend/cuda/convolution_plan.h"

#include <algorithm>

namespace t2i::cuda {

namespace {

enum TensorId : std::int64_t { id_x = 1, id_w, id_y, id_residual, id_bias, id_between };  // and what follows id_between

// Extents in cuDNN's order [N, C, H, W] (a filter: [K, C, R, S]); in memory the channels come last.
struct Extents {
    std::int64_t n, c, h, w;
};

Descriptor convolution(const Cudnn& dnn, const ConvolutionShape& s) {
    const std::int64_t dimensions = 2;
    const std::array<std::int64_t, 2> dilations{1, 1}, strides{s.stride, s.stride}, before{s.padding[0], s.padding[1]},
        after{s.padding[2], s.padding[3]};
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    Descriptor d(dnn, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions);
    d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before.data());
    d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after.data());
    d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations.data());
    d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides.data());
    d.must_finalize("describe a convolution");
    return d;
}

// One of ADD (with `b`) and RELU_FWD, computed in f32.
Descriptor pointwise(const Cudnn& dnn, OperationGraph& g, cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b,
                     const Descriptor& y) {
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    Descriptor what(dnn, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    what.must_finalize("describe an epilogue");
    Descriptor operation(dnn, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    operation.must_finalize("describe an epilogue");
    g.parts.push_back(std::move(what));
    return operation;
}

// conv → (+ residual) → (+ bias) → (relu) → y: only y is stored, what is in between stays f32 in registers. cuDNN's engines
// that are compiled ahead know the steps in this order.
OperationGraph describe(const Cudnn& dnn, const ConvolutionShape& s) {
    OperationGraph g;
    const auto keep = [&](Descriptor d) -> const Descriptor& { return g.keep(std::move(d)); };
    const auto tensor = [&](std::int64_t id, DType dtype, const Extents& e, bool is_virtual = false) -> const Descriptor& {
        return g.tensor(dnn, {.id = id,
                              .dtype = dtype,
                              .dims = {e.n, e.c, e.h, e.w},
                              .strides = {e.h * e.w * e.c, 1, e.w * e.c, e.c},
                              .is_virtual = is_virtual});
    };
    const Extents out{s.batch, s.out_channels, s.out_height(), s.out_width()};
    int steps_left = static_cast<int>(s.has_residual) + static_cast<int>(s.has_bias) + static_cast<int>(s.has_relu);
    // Where a step puts its result: the last one in y.
    const auto next = [&]() -> const Descriptor& {
        if (steps_left == 0) return tensor(id_y, s.out_type, out);
        return tensor(id_between + steps_left--, DType::f32, out, true);
    };
    const Descriptor& conv = keep(convolution(dnn, s));
    const Descriptor* value = &next();
    const float one = 1, zero = 0;
    Descriptor operation(dnn, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, tensor(id_x, s.dtype, {s.batch, s.in_channels, s.height, s.width}));
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  tensor(id_w, s.dtype, {s.out_channels, s.in_channels, s.kernel_height, s.kernel_width}));
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *value);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    operation.must_finalize("describe a convolution");
    g.operations.push_back(keep(std::move(operation)).get());

    const auto step = [&](cudnnPointwiseMode_t mode, const Descriptor* b) {
        const Descriptor& result = next();
        g.operations.push_back(keep(pointwise(dnn, g, mode, *value, b, result)).get());
        value = &result;
    };
    if (s.has_residual) step(CUDNN_POINTWISE_ADD, &tensor(id_residual, s.out_type, out));
    if (s.has_bias) step(CUDNN_POINTWISE_ADD, &tensor(id_bias, s.bias_type, {1, s.out_channels, 1, 1}));
    if (s.has_relu) step(CUDNN_POINTWISE_RELU_FWD, nullptr);
    return g;
}

// Does an engine with these notes keep our promises about numbers?
bool is_exact(std::span<const cudnnBackendNumericalNote_t> notes, DType dtype) {
    const auto has = [&](cudnnBackendNumericalNote_t note) { return std::ranges::find(notes, note) != notes.end(); };
    for (const auto note :
         {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
          CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
          CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS})
        if (has(note)) return false;
    // Tensor cores know no f32: they would multiply TF32.
    return dtype != DType::f32 || !has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
}

}  // namespace

std::string ConvolutionShape::text() const {
    const auto n = [](std::int64_t value) { return std::to_string(value); };
    return std::string(name_of(dtype)) + " " + n(kernel_height) + "x" + n(kernel_width) + ", " + n(in_channels) + " to " +
           n(out_channels) + " channels, " + n(width) + "x" + n(height) + " pixels, stride " + n(stride);
}

std::optional<ConvolutionPlan> ConvolutionPlan::find(const Cudnn& dnn, const PlanTarget& target, const ConvolutionShape& shape,
                                                     std::size_t workspace_limit, std::string& why) {
    auto plan = GraphPlan::find(
        dnn, target, describe(dnn, shape), [&](auto notes) { return is_exact(notes, shape.dtype); }, workspace_limit, why);
    if (!plan) return std::nullopt;
    return ConvolutionPlan(std::move(*plan), shape);
}

void ConvolutionPlan::execute(cudnnHandle_t handle, const Operands& o, void* workspace) const {
    std::vector<std::int64_t> ids{id_x, id_w, id_y};
    std::vector<const void*> pointers{o.x, o.w, o.y};
    const auto add = [&](TensorId id, const void* pointer) {
        ids.push_back(id);
        pointers.push_back(pointer);
    };
    if (has_residual_) add(id_residual, o.residual);
    if (has_bias_) add(id_bias, o.bias);
    plan_.execute(handle, ids, pointers, workspace, "convolve");
}

}  // namespace t2i::cuda
