#include "ops/memory.h"

namespace t2i {
namespace {

Tensor tensor_of(Buffer buffer, const Shape& shape, DType dtype) {
    Tensor t;
    t.view = {buffer.data(), dtype, buffer.device(), shape};
    t.buffer = std::move(buffer);
    return t;
}

}  // namespace

Tensor allocate(Backend& backend, const Shape& shape, DType dtype) {
    return tensor_of(backend.allocate(bytes_of(shape, dtype)), shape, dtype);
}

Tensor allocate_staging(Backend& backend, const Shape& shape, DType dtype) {
    return tensor_of(backend.allocate_staging(bytes_of(shape, dtype)), shape, dtype);
}

Tensor upload(Backend& backend, const TensorView& host) {
    Tensor t = allocate(backend, host.shape, host.dtype);
    backend.copy(host, t);
    return t;
}

}  // namespace t2i
