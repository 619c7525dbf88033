#include "backend/cuda/attention_plan.h"

#include <algorithm>

namespace t2i::cuda {

namespace {

enum TensorId : std::int64_t {
    id_q = 1,
    id_k,
    id_v,
    id_out,
    id_scale,
    id_logarithms,
    id_between
};  // and what follows id_between

using Dims = std::array<std::int64_t, 4>;

// Adds operations to a graph; what is between them is f32 and not stored.
class Builder {
  public:
    Builder(const Cudnn& dnn, OperationGraph& graph) : dnn_(dnn), graph_(graph) {}

    const Descriptor& tensor(const GraphTensor& t) { return graph_.tensor(dnn_, t); }
    const Descriptor& between(const Dims& dims, DType dtype = DType::f32) {
        const Dims strides{dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
        return tensor({.id = id_between + count_++, .dtype = dtype, .dims = dims, .strides = strides, .is_virtual = true});
    }

    void multiply(const Descriptor& a, const Descriptor& b, const Descriptor& c) {
        Descriptor what(dnn_, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
        what.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &f32_);
        what.must_finalize("describe a product");
        Descriptor d(dnn_, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
        d.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
        d.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
        d.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
        d.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, graph_.keep(std::move(what)));
        add(std::move(d));
    }
    const Descriptor& reduce(cudnnReduceTensorOp_t mode, const Descriptor& x, const Dims& dims) {
        Descriptor what(dnn_, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
        what.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
        what.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &f32_);
        what.must_finalize("describe a softmax");
        const Descriptor& y = between(dims);
        Descriptor d(dnn_, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
        d.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
        d.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
        d.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, graph_.keep(std::move(what)));
        add(std::move(d));
        return y;
    }
    const Descriptor& pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y) {
        Descriptor what(dnn_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
        what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
        what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &f32_);
        what.must_finalize("describe a softmax");
        Descriptor d(dnn_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
        d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, graph_.keep(std::move(what)));
        d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
        if (b) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
        d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
        add(std::move(d));
        return y;
    }

  private:
    void add(Descriptor d) {
        d.must_finalize("describe attention");
        graph_.operations.push_back(graph_.keep(std::move(d)).get());
    }
    const Cudnn& dnn_;
    OperationGraph& graph_;
    const cudnnDataType_t f32_ = CUDNN_DATA_FLOAT;
    std::int64_t count_ = 0;
};

// The operations in which cuDNN's engines know attention again (its developer guide, "Fused Flash Attention fprop"): product,
// scale, softmax as maximum, difference, exponential, sum and quotient, product.
OperationGraph describe(const Cudnn& dnn, const AttentionShape& s) {
    OperationGraph graph;
    Builder b(dnn, graph);
    // Rows of heads side by side as [B, H, T, D].
    const auto heads_of = [&](std::int64_t id, std::int64_t rows, std::int64_t stride) {
        return GraphTensor{.id = id,
                           .dtype = DType::bf16,
                           .dims = {s.batch, s.heads, rows, s.head_size},
                           .strides = {rows * stride, s.head_size, stride, 1}};
    };
    GraphTensor transposed = heads_of(id_k, s.keys, s.k_stride);
    std::swap(transposed.dims[2], transposed.dims[3]);
    std::swap(transposed.strides[2], transposed.strides[3]);
    const Dims scores{s.batch, s.heads, s.queries, s.keys}, rows{s.batch, s.heads, s.queries, 1}, one{1, 1, 1, 1};

    const Descriptor& raw = b.between(scores);
    b.multiply(b.tensor(heads_of(id_q, s.queries, s.q_stride)), b.tensor(transposed), raw);
    const Descriptor& scale = b.tensor({.id = id_scale, .dtype = DType::f32, .dims = one, .strides = one, .is_by_value = true});
    const Descriptor& scaled = b.pointwise(CUDNN_POINTWISE_MUL, raw, &scale, b.between(scores));
    const Descriptor& most = b.reduce(CUDNN_REDUCE_TENSOR_MAX, scaled, rows);
    const Descriptor& below = b.pointwise(CUDNN_POINTWISE_SUB, scaled, &most, b.between(scores));
    const Descriptor& powers = b.pointwise(CUDNN_POINTWISE_EXP, below, nullptr, b.between(scores));
    const Descriptor& sum = b.reduce(CUDNN_REDUCE_TENSOR_ADD, powers, rows);
    // Nobody reads these, but the engines know the graph by them.
    const Descriptor& logarithms = b.pointwise(CUDNN_POINTWISE_LOG, sum, nullptr, b.between(rows));
    b.pointwise(
        CUDNN_POINTWISE_ADD, most, &logarithms,
        b.tensor({.id = id_logarithms, .dtype = DType::f32, .dims = rows, .strides = {s.heads * s.queries, s.queries, 1, 1}}));
    const Descriptor& weights = b.pointwise(CUDNN_POINTWISE_DIV, powers, &sum, b.between(scores, DType::bf16));
    b.multiply(weights, b.tensor(heads_of(id_v, s.keys, s.v_stride)),
               b.tensor(heads_of(id_out, s.queries, s.heads * s.head_size)));
    return graph;
}

bool is_exact(std::span<const cudnnBackendNumericalNote_t> notes) {
    return std::ranges::none_of(notes, [](auto note) {
        return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    });
}

}  // namespace

std::string AttentionShape::text() const {
    const auto n = [](std::int64_t value) { return std::to_string(value); };
    return "b" + n(batch) + " h" + n(heads) + " q" + n(queries) + " k" + n(keys) + " d" + n(head_size) + " strides " +
           n(q_stride) + " " + n(k_stride) + " " + n(v_stride);
}

std::optional<AttentionPlan> AttentionPlan::find(const Cudnn& dnn, const PlanTarget& target, const AttentionShape& shape,
                                                 std::size_t workspace_limit, std::string& why) {
    auto plan = GraphPlan::find(dnn, target, describe(dnn, shape), is_exact, workspace_limit, why);
    if (!plan) return std::nullopt;
    return AttentionPlan(std::move(*plan));
}

void AttentionPlan::execute(cudnnHandle_t handle, const Operands& o, void* workspace) const {
    const std::array<std::int64_t, 6> ids{id_q, id_k, id_v, id_out, id_logarithms, id_scale};
    const std::array<const void*, 6> pointers{o.q, o.k, o.v, o.out, o.logarithms, &o.scale};
    plan_.execute(handle, ids, pointers, workspace, "attend");
}

}  // namespace t2i::cuda
