// Graphs of operations as cuDNN takes them, and plans that execute them.
#pragma once

#include <cudnn_graph.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/cudnn.h"
#include "core/dtype.h"

namespace t2i::cuda {

// A cuDNN backend descriptor of any kind.
class Descriptor {
  public:
    Descriptor() = default;
    Descriptor(const Cudnn& dnn, cudnnBackendDescriptorType_t type);
    ~Descriptor() {
        if (handle_) dnn_->descriptor_destroy(handle_);
    }
    Descriptor(Descriptor&& other) noexcept : dnn_(other.dnn_), handle_(std::exchange(other.handle_, nullptr)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(dnn_, other.dnn_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    // `count` values at `values`; throws Error{resource}.
    void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values) const;
    void set(cudnnBackendAttributeName_t name, const Descriptor& value) const;
    // False: cuDNN does not support what is described.
    [[nodiscard]] bool finalize() const { return dnn_->finalize(handle_) == CUDNN_STATUS_SUCCESS; }
    void must_finalize(const char* what) const { check(dnn_->finalize(handle_), what); }
    [[nodiscard]] cudnnBackendDescriptor_t get() const { return handle_; }

  private:
    const Cudnn* dnn_ = nullptr;
    cudnnBackendDescriptor_t handle_ = nullptr;
};

// A tensor of rank 4. `id` names it when a plan is executed; a virtual one is not stored.
struct GraphTensor {
    std::int64_t id = 0;
    DType dtype = DType::f32;
    std::array<std::int64_t, 4> dims{}, strides{};  // elements
    bool is_virtual = false;
    bool is_by_value = false;  // one number, read from the host when the plan is executed
};

// The operations and all that they point to.
struct OperationGraph {
    OperationGraph() { parts.reserve(64); }  // references into it stay
    std::vector<Descriptor> parts;           // kept alive for the others
    std::vector<cudnnBackendDescriptor_t> operations;
    const Descriptor& keep(Descriptor d) {
        parts.push_back(std::move(d));
        return parts.back();
    }
    const Descriptor& tensor(const Cudnn& dnn, const GraphTensor& t);
};

[[nodiscard]] cudnnDataType_t data_type(DType t);

// The GPU that a plan is made for: the one behind a handle, or one that is described and need not be here.
struct PlanTarget {
    cudnnHandle_t handle = nullptr;
    const Descriptor* properties = nullptr;  // a finalized CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR; then the handle is not used
};

// Of cuDNN's notes on an engine: does it keep our promises about numbers?
using IsTrusted = std::function<bool(std::span<const cudnnBackendNumericalNote_t> notes)>;

// What executes a graph.
class GraphPlan {
  public:
    // The first plan of cuDNN's heuristics whose engine is trusted and needs at most `workspace_limit` bytes. None: nullopt,
    // and `why` says what cuDNN had.
    static std::optional<GraphPlan> find(const Cudnn& dnn, const PlanTarget& target, OperationGraph graph,
                                         const IsTrusted& is_trusted, std::size_t workspace_limit, std::string& why);

    [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }
    // `pointers` of the tensors that `ids` name; memory of the GPU is aligned to 16 bytes. Throws Error{resource}.
    void execute(cudnnHandle_t handle, std::span<const std::int64_t> ids, std::span<const void* const> pointers, void* workspace,
                 const char* doing) const;

  private:
    const Cudnn* dnn_ = nullptr;
    std::shared_ptr<const std::vector<Descriptor>> described_;  // what the plan was made from lives as long as it
    Descriptor plan_;
    std::size_t workspace_bytes_ = 0;
};

}  // namespace t2i::cuda
