// Extent of a tensor: up to 8 dimensions (max_rank), row-major, in elements.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace t2i {

class Shape {
  public:
    static constexpr int max_rank = 8;
    Shape() = default;
    Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}
    explicit Shape(std::span<const std::int64_t> dims);  // throws Error{input} above rank 8 or on a negative extent

    [[nodiscard]] int rank() const { return rank_; }
    // Extent of dimension i; negative i counts from the end, as in PyTorch.
    [[nodiscard]] std::int64_t operator[](int i) const { return dims_[static_cast<std::size_t>(i < 0 ? i + rank_ : i)]; }
    [[nodiscard]] std::int64_t elements() const;  // throws Error{input} when the product overflows
    // Product of all extents but the last: the number of rows when the tensor is seen as a matrix.
    [[nodiscard]] std::int64_t rows() const { return rank_ == 0 ? 1 : elements_before_last(); }
    [[nodiscard]] std::int64_t columns() const { return rank_ == 0 ? 1 : (*this)[-1]; }
    [[nodiscard]] std::string text() const;  // "[2, 256, 1152]"
    bool operator==(const Shape&) const = default;

  private:
    [[nodiscard]] std::int64_t elements_before_last() const;
    std::array<std::int64_t, max_rank> dims_{};
    int rank_ = 0;
};

}  // namespace t2i
