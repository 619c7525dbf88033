// Buffer owns bytes, TensorView describes them, Tensor is both. Contiguous, row-major.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace t2i {

enum class Device : std::uint8_t { host, cuda };

// Move-only memory with the function that frees it. clone() is explicit and done by a Backend's copy.
class Buffer {
  public:
    using Release = std::function<void(void*)>;
    Buffer() = default;
    Buffer(void* data, std::size_t bytes, Device device, Release release)
        : data_(data), bytes_(bytes), device_(device), release_(std::move(release)) {}
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer moved(std::move(other));
        swap(moved);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (data_ && release_) release_(data_);
    }
    enum class Fill : bool { none, zeros };
    // Host memory aligned to 64 bytes. Throws Error{resource} when there is none.
    static Buffer host(std::size_t bytes, Fill fill = Fill::zeros);

    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] Device device() const { return device_; }

  private:
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(device_, other.device_);
        release_.swap(other.release_);
    }
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
    Device device_ = Device::host;
    Release release_;
};

// Bytes of a contiguous tensor. Rows of block types are whole blocks, else std::logic_error.
[[nodiscard]] std::size_t bytes_of(const Shape& shape, DType dtype);

// Owns nothing. `data` may be unaligned when it points into a memory-mapped file: use convert_to_f32 there.
struct TensorView {
    void* data = nullptr;
    DType dtype = DType::f32;
    Device device = Device::host;
    Shape shape;

    [[nodiscard]] bool empty() const { return data == nullptr; }
    [[nodiscard]] std::int64_t elements() const { return shape.elements(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_of(shape, dtype); }
    // Same bytes seen with another shape of as many elements.
    [[nodiscard]] TensorView reshaped(Shape to) const {
        T2I_CHECK(to.elements() == shape.elements(), "reshape " + shape.text() + " to " + to.text());
        TensorView v = *this;
        v.shape = to;
        return v;
    }
    // Rows [begin, begin + count) of the first dimension.
    [[nodiscard]] TensorView slice(std::int64_t begin, std::int64_t count) const;
    // The elements as T; checks that T fits the dtype. Host memory only.
    template <typename T>
    [[nodiscard]] std::span<T> as() const;
};

struct Tensor {
    Buffer buffer;
    TensorView view;

    Tensor() = default;
    static Tensor host(Shape shape, DType dtype = DType::f32);
    static Tensor from(std::span<const float> values, Shape shape);
    operator TensorView() const { return view; }  // NOLINT(google-explicit-constructor): a Tensor is a view with memory
    [[nodiscard]] const Shape& shape() const { return view.shape; }
    template <typename T>
    [[nodiscard]] std::span<T> as() const {
        return view.as<T>();
    }
};

namespace detail {
template <typename T>
constexpr bool fits(DType t) {
    using U = std::remove_const_t<T>;
    if constexpr (std::is_same_v<U, float>) return t == DType::f32;
    else if constexpr (std::is_same_v<U, std::int32_t>) return t == DType::i32;
    else if constexpr (std::is_same_v<U, std::uint8_t>) return t == DType::u8;
    else if constexpr (std::is_same_v<U, bf16>) return t == DType::bf16;
    else if constexpr (std::is_same_v<U, f16>) return t == DType::f16;
    else if constexpr (std::is_same_v<U, double>) return t == DType::f64;
    else if constexpr (std::is_same_v<U, f8_e4m3>) return t == DType::f8_e4m3;
    else if constexpr (std::is_same_v<U, f8_e5m2>) return t == DType::f8_e5m2;
    else return false;
}
}  // namespace detail

template <typename T>
std::span<T> TensorView::as() const {
    T2I_CHECK(detail::fits<T>(dtype), std::string("tensor holds ") + std::string(name_of(dtype)));
    T2I_CHECK(device == Device::host, "not host memory");
    return {static_cast<T*>(data), static_cast<std::size_t>(elements())};
}

}  // namespace t2i
