#include "checkpoint/weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

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

std::optional<std::size_t> first_non_finite(const TensorView& tensor) {
    const auto count = static_cast<std::size_t>(tensor.elements());
    switch (tensor.dtype) {
        case DType::f32:
            return first_non_finite<std::uint32_t>(tensor.data, count, 0x7F800000U);
        case DType::bf16:
            return first_non_finite<std::uint16_t>(tensor.data, count, 0x7F80U);
        case DType::f16:
            return first_non_finite<std::uint16_t>(tensor.data, count, 0x7C00U);
        default:
            return std::nullopt;
    }
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

const CheckpointReader::Entry* find_entry(const CheckpointReader& reader, const std::string& name) {
    const auto& all = reader.entries();
    const auto entry = std::lower_bound(all.begin(), all.end(), name,
                                        [](const CheckpointReader::Entry& e, const std::string& n) { return e.name < n; });
    return entry == all.end() || entry->name != name ? nullptr : &*entry;
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

void WeightStore::finish() const {
    constexpr std::size_t named = 5;
    std::string names;
    std::size_t left = 0;
    for (const auto& entry : reader_->entries()) {
        if (used_.contains(entry.name)) continue;
        if (left < named) names += (left ? ", " : "") + in_quotes(entry.name) + " " + entry.shape.text();
        ++left;
    }
    if (left == 0) return;
    throw Error(ErrorCode::input,
                counted(static_cast<std::int64_t>(left), "tensor does", "tensors do") + " not belong to this model: " + names +
                    (left > named ? ", …" : ""),
                where_);
}

Scope Scope::operator/(const std::string& name) const {
    return {*store_, prefix_.empty() ? name : prefix_ + "." + name};
}

bool Scope::has(const std::string& name) const {
    const std::string full = (*this / name).prefix();
    return find_entry(*store_->reader_, store_->rename_ ? store_->rename_(full) : full) != nullptr;
}

TensorView Scope::take(const std::string& name, const Shape& expected) const {
    const std::string canonical = (*this / name).prefix();
    const std::string full = store_->rename_ ? store_->rename_(canonical) : canonical;
    const CheckpointReader& reader = *store_->reader_;
    const auto* entry = find_entry(reader, full);
    if (entry == nullptr) throw Error(ErrorCode::input, missing_message(reader, full), store_->where_);
    const auto fail = [&](const std::string& problem) {
        throw Error(ErrorCode::input, "tensor " + in_quotes(full) + ": " + problem, entry->file);
    };
    if (entry->dtype != "F32" && entry->dtype != "F16" && entry->dtype != "BF16") {
        fail("dtype " + entry->dtype + ", expected F32, F16 or BF16");
    }
    if (entry->shape != expected) {
        fail("shape " + entry->shape.text() + ", but the model's configuration asks for " + expected.text());
    }
    const TensorView view = reader.tensor(full);
    if (const auto bad = first_non_finite(view)) fail("NaN or Inf at " + position(*bad, view.shape));
    store_->used_.insert(full);
    return view;
}

Tensor Scope::take_f32(const std::string& name, const Shape& expected) const {
    const TensorView view = take(name, expected);
    Tensor tensor = Tensor::host(expected);
    convert_to_f32(view.data, view.dtype, static_cast<std::size_t>(view.elements()), tensor.as<float>().data());
    return tensor;
}

}  // namespace t2i
