#include "core/tensor.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/blocks.h"
#include "core/out_of_memory.h"
#include "t2i/error.h"

namespace t2i {

Buffer Buffer::host(std::size_t bytes, Fill fill) {
    // Large pages where the system gives them: a product that strides through megabytes otherwise waits for page tables.
    constexpr std::size_t line = 64, large_page = std::size_t{2} << 20;
    const std::size_t alignment = bytes >= large_page ? large_page : line;
    const std::size_t rounded = (bytes + line) / line * line;
    void* p = nullptr;
    if (posix_memalign(&p, alignment, rounded) != 0)
        throw OutOfMemory("out of memory: " + std::to_string(bytes) + " bytes wanted");
#ifdef MADV_HUGEPAGE
    if (alignment == large_page) madvise(p, rounded / large_page * large_page, MADV_HUGEPAGE);
#endif
    if (fill == Fill::zeros) std::memset(p, 0, rounded);
    return {p, bytes, Device::host, [](void* q) { std::free(q); }};
}

std::size_t bytes_of(const Shape& shape, DType dtype) {
    return static_cast<std::size_t>(shape.rows()) * bytes_of(dtype, shape.columns());
}

TensorView TensorView::slice(std::int64_t begin, std::int64_t count) const {
    T2I_CHECK(shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape[0], "slice outside " + shape.text());
    std::array<std::int64_t, Shape::max_rank> dims{};
    dims[0] = count;
    std::int64_t row = 1;
    for (int i = 1; i < shape.rank(); ++i) {
        dims[static_cast<std::size_t>(i)] = shape[i];
        row *= shape[i];
    }
    TensorView v = *this;
    v.shape = Shape(std::span<const std::int64_t>(dims.data(), static_cast<std::size_t>(shape.rank())));
    v.data = static_cast<std::byte*>(data) + bytes_of(dtype, begin * row);
    return v;
}

Tensor Tensor::host(Shape shape, DType dtype) {
    Tensor t;
    t.buffer = Buffer::host(bytes_of(shape, dtype));
    t.view = {t.buffer.data(), dtype, Device::host, shape};
    return t;
}

Tensor Tensor::from(std::span<const float> values, Shape shape) {
    T2I_CHECK(static_cast<std::int64_t>(values.size()) == shape.elements(), "values do not fill " + shape.text());
    Tensor t = host(shape);
    if (!values.empty()) std::memcpy(t.view.data, values.data(), values.size_bytes());
    return t;
}

void convert_to_f32(const void* from, DType dtype, std::size_t count, float* to) {
    const auto each = [&]<typename T>(T value) {
        for (std::size_t i = 0; i < count; ++i) {
            std::memcpy(&value, static_cast<const std::byte*>(from) + i * sizeof(T), sizeof(T));
            to[i] = to_f32(value);
        }
    };
    switch (dtype) {
        case DType::f32:
            if (count > 0) std::memcpy(to, from, count * sizeof(float));  // an empty tensor has no address
            return;
        case DType::f16:
            return each(f16{});
        case DType::bf16:
            return each(bf16{});
        case DType::f64:
            return each(double{});
        case DType::f8_e4m3:
            return each(f8_e4m3{});
        case DType::f8_e5m2:
            return each(f8_e5m2{});
        case DType::q8_0:
        case DType::q4_0:
        case DType::q4_k:
        case DType::q5_k:
        case DType::q6_k:
            return unpack_blocks(from, dtype, count, to);
        case DType::i32:
        case DType::u8:
            throw Error(ErrorCode::input, std::string("cannot read ") + std::string(name_of(dtype)) + " as real numbers");
    }
}

}  // namespace t2i
