#include "checkpoint/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "checkpoint/stored_dtype.h"
#include "core/blocks.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// Index of the first element whose exponent bits (`exponent_mask`) are all ones, i.e. NaN or Inf. Whole
// blocks are tested without a branch, so that the loop vectorises and runs at memory speed.
template <typename Bits>
std::optional<std::size_t> first_non_finite(const void* data, std::size_t count, Bits exponent_mask) {
    constexpr std::size_t block = 4096;
    const auto* bytes = static_cast<const std::byte*>(data);
    const auto is_bad = [&](std::size_t i) {
        Bits bits;
        std::memcpy(&bits, bytes + i * sizeof(Bits), sizeof(Bits));  // mapped tensors may be unaligned
        return static_cast<Bits>((bits & exponent_mask) == exponent_mask ? 1 : 0);
    };
    for (std::size_t begin = 0; begin < count; begin += block) {
        const std::size_t end = std::min(count, begin + block);
        Bits bad = 0;
        for (std::size_t i = begin; i < end; ++i) bad = static_cast<Bits>(bad | is_bad(i));
        if (!bad) continue;
        for (std::size_t i = begin; i < end; ++i)
            if (is_bad(i)) return i;
    }
    return std::nullopt;
}

// Of types with few values or rare ones: `value_at` gives each as a float.
template <typename ValueAt>
std::optional<std::size_t> first_non_finite_value(std::size_t count, const ValueAt& value_at) {
    for (std::size_t i = 0; i < count; ++i)
        if (!std::isfinite(value_at(i))) return i;
    return std::nullopt;
}

template <typename T>
T element_at(const void* data, std::size_t byte) {
    T value;
    std::memcpy(&value, static_cast<const std::byte*>(data) + byte, sizeof(T));
    return value;
}

// Index of the first element of the first block one of whose scales is NaN or Inf.
std::optional<std::size_t> first_non_finite_block(const TensorView& tensor) {
    const StorageBlock block = block_of(tensor.dtype);
    const auto found = first_non_finite_scale(tensor.data, tensor.dtype, tensor.bytes() / block.bytes);
    return found ? std::optional(*found * static_cast<std::size_t>(block.elements)) : std::nullopt;
}

std::optional<std::size_t> first_non_finite(const TensorView& tensor) {
    const auto count = static_cast<std::size_t>(tensor.elements());
    switch (tensor.dtype) {
        case DType::f32:
            return first_non_finite<std::uint32_t>(tensor.data, count, 0x7F800000U);
        case DType::bf16:
            return first_non_finite<std::uint16_t>(tensor.data, count, 0x7F80U);
        case DType::f16:
            return first_non_finite<std::uint16_t>(tensor.data, count, 0x7C00U);
        case DType::f64:  // also what is too large for f32, which it becomes
            return first_non_finite_value(count, [&](std::size_t i) { return to_f32(element_at<double>(tensor.data, 8 * i)); });
        case DType::f8_e4m3:  // has no infinity: 0x7F and 0xFF are NaN
            return first_non_finite<std::uint8_t>(tensor.data, count, 0x7FU);
        case DType::f8_e5m2:
            return first_non_finite<std::uint8_t>(tensor.data, count, 0x7CU);
        case DType::q8_0:
        case DType::q4_0:
        case DType::q4_k:
        case DType::q5_k:
        case DType::q6_k:
            return first_non_finite_block(tensor);
        case DType::i32:
        case DType::u8:
            return std::nullopt;
    }
    return std::nullopt;
}

// "[3, 0, 17]" of a flat index into `shape`.
std::string position(std::size_t flat, const Shape& shape) {
    std::string text;
    auto rest = static_cast<std::int64_t>(flat);
    for (int i = shape.rank() - 1; i >= 0; --i) {
        text = std::to_string(rest % shape[i]) + (text.empty() ? "" : ", ") + text;
        rest /= shape[i];
    }
    return "[" + text + "]";
}

std::string readable_dtypes() {
    std::string names;
    for (const auto& [dtype, name] : stored_dtypes())
        if (holds_reals(dtype)) names += (names.empty() ? "" : ", ") + std::string(name);
    return names;
}

std::string missing_message(const CheckpointReader& reader, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& entry : reader.entries()) names.push_back(entry.name);
    const std::string nearest = nearest_name(name, names);
    return "tensor " + in_quotes(name) + " is missing" +
           (nearest.empty() ? " (" + std::to_string(names.size()) + " other tensors, none of a similar name)"
                            : "; the nearest name is " + in_quotes(nearest));
}

}  // namespace

WeightStore::WeightStore(std::unique_ptr<CheckpointReader> reader, std::string where)
    : reader_(std::move(reader)), where_(std::move(where)) {
    T2I_CHECK(reader_ != nullptr, "a weight store needs a reader");
}

Scope WeightStore::root() {
    return {*this, ""};
}

std::string WeightStore::left_over() const {
    constexpr std::size_t named = 3;
    std::string names;
    std::size_t left = 0;
    for (const auto& entry : reader_->entries()) {
        if (used_.contains(entry.name)) continue;
        if (left < named) names += (left ? ", " : "") + in_quotes(entry.name) + " " + entry.shape.text();
        ++left;
    }
    if (left == 0) return {};
    return where_ + ": " + counted(static_cast<std::int64_t>(left), "tensor has", "tensors have") +
           " no place in this model and " + (left == 1 ? "is" : "are") + " passed over: " + names + (left > named ? ", …" : "");
}

Scope Scope::operator/(const std::string& name) const {
    return {*store_, prefix_.empty() ? name : prefix_ + "." + name};
}

std::string Scope::full_name(const std::string& name) const {
    const std::string canonical = (*this / name).prefix();
    return store_->rename_ ? store_->rename_(canonical) : canonical;
}

bool Scope::has(const std::string& name) const {
    return find_entry(*store_->reader_, full_name(name)) != nullptr;
}

void Scope::expect(const std::string& name, const Shape& expected) const {
    const std::string full = full_name(name);
    const CheckpointReader& reader = *store_->reader_;
    const auto* entry = find_entry(reader, full);
    if (entry == nullptr) throw Error(ErrorCode::input, missing_message(reader, full), store_->where_);
    const auto fail = [&](const std::string& problem) {
        throw Error(ErrorCode::input, "tensor " + in_quotes(full) + ": " + problem, entry->file);
    };
    const auto dtype = stored_dtype(entry->dtype);
    if (!dtype || !holds_reals(*dtype)) fail("dtype " + entry->dtype + " is not read as weights; " + readable_dtypes() + " are");
    if (entry->shape != expected) {
        fail("shape " + entry->shape.text() + ", but the model's configuration asks for " + expected.text());
    }
    store_->used_.insert(full);
}

TensorView Scope::take_unchecked(const std::string& name, const Shape& expected) const {
    expect(name, expected);
    return store_->reader_->tensor(full_name(name));
}

void Scope::check_finite(const std::string& name, const TensorView& view) const {
    const auto bad = first_non_finite(view);
    if (!bad) return;
    const std::string full = full_name(name);
    throw Error(ErrorCode::input, "tensor " + in_quotes(full) + ": NaN or Inf at " + position(*bad, view.shape),
                find_entry(*store_->reader_, full)->file);
}

TensorView Scope::take(const std::string& name, const Shape& expected) const {
    const TensorView view = take_unchecked(name, expected);
    check_finite(name, view);
    return view;
}

void Scope::release(const std::string& name) const {
    store_->reader_->release(full_name(name));
}

Tensor Scope::take_f32(const std::string& name, const Shape& expected) const {
    const TensorView view = take(name, expected);
    Tensor tensor = Tensor::host(expected);
    convert_to_f32(view.data, view.dtype, static_cast<std::size_t>(view.elements()), tensor.as<float>().data());
    release(name);
    return tensor;
}

}  // namespace t2i
