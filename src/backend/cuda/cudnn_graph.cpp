#include "backend/cuda/cudnn_graph.h"

#include <algorithm>

namespace t2i::cuda {

namespace {

constexpr std::int64_t alignment_bytes = 16;
constexpr std::int64_t most_configurations = 32;

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

// Nothing when cuDNN does not say.
std::optional<std::vector<cudnnBackendNumericalNote_t>> notes_of(const Cudnn& dnn, const Descriptor& configuration) {
    const Descriptor engine(dnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t handle = engine.get();
    std::int64_t count = 0;
    if (dnn.get(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle) !=
            CUDNN_STATUS_SUCCESS ||
        count != 1)
        return std::nullopt;
    std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    if (dnn.get(handle, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, static_cast<std::int64_t>(notes.size()),
                &count, notes.data()) != CUDNN_STATUS_SUCCESS)
        return std::nullopt;
    notes.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, CUDNN_NUMERICAL_NOTE_TYPE_COUNT)));
    return notes;
}

}  // namespace

cudnnDataType_t data_type(DType t) {
    switch (t) {
        case DType::bf16:
            return CUDNN_DATA_BFLOAT16;
        case DType::i32:
            return CUDNN_DATA_INT32;
        default:
            return CUDNN_DATA_FLOAT;
    }
}

Descriptor::Descriptor(const Cudnn& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
    check(dnn.descriptor_create(type, &handle_), "describe a graph");
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                     const void* values) const {
    check(dnn_->set(handle_, name, type, count, values), "describe a graph");
}

void Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) const {
    const cudnnBackendDescriptor_t handle = value.get();
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
}

const Descriptor& OperationGraph::tensor(const Cudnn& dnn, const GraphTensor& t) {
    const cudnnDataType_t type = data_type(t.dtype);
    const std::int64_t alignment = alignment_bytes;
    Descriptor d(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &t.id);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t.dims.data());
    d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t.strides.data());
    d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t.is_virtual);
    if (t.is_by_value) d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &t.is_by_value);
    d.must_finalize("describe a tensor");
    return keep(std::move(d));
}

std::optional<GraphPlan> GraphPlan::find(const Cudnn& dnn, const PlanTarget& target, OperationGraph graph,
                                         const IsTrusted& is_trusted, std::size_t workspace_limit, std::string& why) {
    Descriptor whole(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (!target.properties) whole.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
    whole.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(graph.operations.size()),
              graph.operations.data());
    if (!whole.finalize()) {
        why = "cuDNN does not take the graph";
        return std::nullopt;
    }
    int proposed = 0, untrusted = 0, unfit = 0;
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
        for (Descriptor& configuration : configurations(dnn, target, whole, mode)) {
            ++proposed;
            const auto notes = notes_of(dnn, configuration);
            if (!notes || !is_trusted(*notes)) {
                ++untrusted;
                continue;
            }
            GraphPlan found;
            found.dnn_ = &dnn;
            found.plan_ = Descriptor(dnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
            if (target.properties) found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
            else found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
            found.plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
            std::int64_t bytes = 0, count = 0;
            if (found.plan_.finalize() &&
                dnn.get(found.plan_.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes) ==
                    CUDNN_STATUS_SUCCESS &&
                static_cast<std::size_t>(bytes) <= workspace_limit) {
                found.workspace_bytes_ = static_cast<std::size_t>(bytes);
                graph.keep(std::move(whole));
                graph.keep(std::move(configuration));
                found.described_ = std::make_shared<const std::vector<Descriptor>>(std::move(graph.parts));
                return found;
            }
            ++unfit;
        }
    why = "of " + std::to_string(proposed) + " plans " + std::to_string(untrusted) + " are not exact enough and " +
          std::to_string(unfit) + " do not build or need too much memory";
    return std::nullopt;
}

void GraphPlan::execute(cudnnHandle_t handle, std::span<const std::int64_t> ids, std::span<const void* const> pointers,
                        void* workspace, const char* doing) const {
    const auto count = static_cast<std::int64_t>(ids.size());
    const Descriptor pack(*dnn_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.must_finalize("bind a plan's memory");
    check(dnn_->execute(handle, plan_.get(), pack.get()), doing);
}

}  // namespace t2i::cuda
