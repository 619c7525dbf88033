#include "backend/cuda/cudnn_graph.h"

#include <algorithm>

namespace t2i::cuda {

namespace {

enum TensorId : std::int64_t { id_x = 1, id_w, id_y, id_residual, id_bias, id_between };  // and what follows id_between

constexpr std::int64_t alignment_bytes = 16;
constexpr std::int64_t most_configurations = 32;

cudnnDataType_t data_type(DType t) {
    return t == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// Extents in cuDNN's order [N, C, H, W] (a filter: [K, C, R, S]); in memory the channels come last.
struct Extents {
    std::int64_t n, c, h, w;
};

Descriptor tensor(const Cudnn& dnn, std::int64_t id, DType dtype, const Extents& e, bool is_virtual = false) {
    const std::array<std::int64_t, 4> dims{e.n, e.c, e.h, e.w}, strides{e.h * e.w * e.c, 1, e.w * e.c, e.c};
    const cudnnDataType_t type = data_type(dtype);
    const std::int64_t alignment = alignment_bytes;
    Descriptor d(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims.data());
    d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data());
    d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    d.must_finalize("describe a tensor");
    return d;
}

// The operations and all that they point to.
struct Graph {
    std::vector<Descriptor> parts;  // kept alive for the others
    Descriptor graph;
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
Descriptor pointwise(const Cudnn& dnn, Graph& g, cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b,
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
Graph describe(const Cudnn& dnn, const PlanTarget& target, const ConvolutionShape& s) {
    Graph g;
    g.parts.reserve(32);  // references into it stay
    const auto keep = [&](Descriptor d) -> const Descriptor& {
        g.parts.push_back(std::move(d));
        return g.parts.back();
    };
    const Extents out{s.batch, s.out_channels, s.out_height(), s.out_width()};
    int steps_left = static_cast<int>(s.has_residual) + static_cast<int>(s.has_bias) + static_cast<int>(s.has_relu);
    // Where a step puts its result: the last one in y.
    const auto next = [&]() -> const Descriptor& {
        if (steps_left == 0) return keep(tensor(dnn, id_y, s.out_type, out));
        return keep(tensor(dnn, id_between + steps_left--, DType::f32, out, true));
    };
    std::vector<cudnnBackendDescriptor_t> operations;

    const Descriptor& conv = keep(convolution(dnn, s));
    const Descriptor* value = &next();
    const float one = 1, zero = 0;
    Descriptor operation(dnn, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                  keep(tensor(dnn, id_x, s.dtype, {s.batch, s.in_channels, s.height, s.width})));
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  keep(tensor(dnn, id_w, s.dtype, {s.out_channels, s.in_channels, s.kernel_height, s.kernel_width})));
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *value);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    operation.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    operation.must_finalize("describe a convolution");
    operations.push_back(keep(std::move(operation)).get());

    const auto step = [&](cudnnPointwiseMode_t mode, const Descriptor* b) {
        const Descriptor& result = next();
        operations.push_back(keep(pointwise(dnn, g, mode, *value, b, result)).get());
        value = &result;
    };
    if (s.has_residual) step(CUDNN_POINTWISE_ADD, &keep(tensor(dnn, id_residual, s.out_type, out)));
    if (s.has_bias) step(CUDNN_POINTWISE_ADD, &keep(tensor(dnn, id_bias, s.bias_type, {1, s.out_channels, 1, 1})));
    if (s.has_relu) step(CUDNN_POINTWISE_RELU_FWD, nullptr);

    g.graph = Descriptor(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (!target.properties) g.graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
    g.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(operations.size()),
                operations.data());
    return g;
}

// What the library's heuristics propose, in their order; nothing where they know no engine.
std::vector<Descriptor> configurations(const Cudnn& dnn, const PlanTarget& target, const Descriptor& graph,
                                       cudnnBackendHeurMode_t mode) {
    Descriptor heuristics(dnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (target.properties) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
    if (!heuristics.finalize()) return {};
    std::vector<Descriptor> list;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (std::int64_t i = 0; i < most_configurations; ++i) {
        list.emplace_back(dnn, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        handles.push_back(list.back().get());
    }
    std::int64_t count = 0;
    if (dnn.get(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, most_configurations, &count,
                handles.data()) != CUDNN_STATUS_SUCCESS)
        return {};
    list.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, most_configurations)));
    return list;
}

// Does the engine behind the configuration keep our promises about numbers?
bool is_trusted(const Cudnn& dnn, const Descriptor& configuration, DType dtype) {
    Descriptor engine(dnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t handle = engine.get();
    std::int64_t count = 0;
    if (dnn.get(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle) !=
            CUDNN_STATUS_SUCCESS ||
        count != 1)
        return false;
    std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
    if (dnn.get(handle, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, static_cast<std::int64_t>(notes.size()),
                &count, notes.data()) != CUDNN_STATUS_SUCCESS)
        return false;
    const auto has = [&](cudnnBackendNumericalNote_t note) {
        return std::find(notes.begin(), notes.begin() + count, note) != notes.begin() + count;
    };
    for (const auto note :
         {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT,
          CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
          CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS})
        if (has(note)) return false;
    // Tensor cores know no f32: they would multiply TF32.
    return dtype != DType::f32 || !has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
}

}  // namespace

Descriptor::Descriptor(const Cudnn& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
    check(dnn.descriptor_create(type, &handle_), "describe a convolution");
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                     const void* values) const {
    check(dnn_->set(handle_, name, type, count, values), "describe a convolution");
}

void Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) const {
    const cudnnBackendDescriptor_t handle = value.get();
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
}

std::string ConvolutionShape::text() const {
    const auto n = [](std::int64_t value) { return std::to_string(value); };
    return std::string(name_of(dtype)) + " " + n(kernel_height) + "x" + n(kernel_width) + ", " + n(in_channels) + " to " +
           n(out_channels) + " channels, " + n(width) + "x" + n(height) + " pixels, stride " + n(stride);
}

std::optional<ConvolutionPlan> ConvolutionPlan::find(const Cudnn& dnn, const PlanTarget& target, const ConvolutionShape& shape,
                                                     std::size_t workspace_limit, std::string& why) {
    Graph graph = describe(dnn, target, shape);
    if (!graph.graph.finalize()) {
        why = "cuDNN does not take the graph";
        return std::nullopt;
    }
    int proposed = 0, untrusted = 0, unfit = 0;
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
        for (Descriptor& configuration : configurations(dnn, target, graph.graph, mode)) {
            ++proposed;
            if (!is_trusted(dnn, configuration, shape.dtype)) {
                ++untrusted;
                continue;
            }
            ConvolutionPlan found;
            found.dnn_ = &dnn;
            found.has_residual_ = shape.has_residual;
            found.has_bias_ = shape.has_bias;
            found.plan_ = Descriptor(dnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
            if (target.properties)
                found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
            else
                found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
            found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
            std::int64_t bytes = 0, count = 0;
            if (found.plan_.finalize() &&
                dnn.get(found.plan_.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes) ==
                    CUDNN_STATUS_SUCCESS &&
                static_cast<std::size_t>(bytes) <= workspace_limit) {
                found.workspace_bytes_ = static_cast<std::size_t>(bytes);
                graph.parts.push_back(std::move(graph.graph));
                graph.parts.push_back(std::move(configuration));
                found.described_ = std::make_shared<const std::vector<Descriptor>>(std::move(graph.parts));
                return found;
            }
            ++unfit;
        }
    why = "of " + std::to_string(proposed) + " plans " + std::to_string(untrusted) + " are not exact enough and " +
          std::to_string(unfit) + " do not build or need too much memory";
    return std::nullopt;
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
    const auto count = static_cast<std::int64_t>(ids.size());
    const Descriptor pack(*dnn_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.must_finalize("bind a convolution's memory");
    check(dnn_->execute(handle, plan_.get(), pack.get()), "convolve");
}

}  // namespace t2i::cuda
