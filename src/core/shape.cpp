#include "core/shape.h"

#include "t2i/error.h"

namespace t2i {

Shape::Shape(std::span<const std::int64_t> dims) {
    if (dims.size() > max_rank) throw Error(ErrorCode::input, "more than 8 dimensions");
    for (const auto d : dims) {
        if (d < 0) throw Error(ErrorCode::input, "negative extent " + std::to_string(d));
        dims_[static_cast<std::size_t>(rank_++)] = d;
    }
}

namespace {
std::int64_t product(const std::int64_t* dims, int count) {
    std::int64_t n = 1;
    for (int i = 0; i < count; ++i)
        if (__builtin_mul_overflow(n, dims[i], &n)) throw Error(ErrorCode::input, "shape overflows 64 bits");
    return n;
}
}  // namespace

std::int64_t Shape::elements() const {
    return product(dims_.data(), rank_);
}
std::int64_t Shape::elements_before_last() const {
    return product(dims_.data(), rank_ - 1);
}

std::string Shape::text() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + "]";
}

}  // namespace t2i
