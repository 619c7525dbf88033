#include "checkpoint/stored_dtype.h"

#include <algorithm>
#include <array>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr auto rows = std::to_array<StoredDType>({
    {DType::f32, "F32"},
    {DType::f16, "F16"},
    {DType::bf16, "BF16"},
    {DType::f64, "F64"},
    {DType::f8_e4m3, "F8_E4M3"},
    {DType::f8_e5m2, "F8_E5M2"},
    {DType::i32, "I32"},
    {DType::u8, "U8"},
    {DType::q8_0, "Q8_0"},
    {DType::q4_0, "Q4_0"},
    {DType::q4_k, "Q4_K"},
    {DType::q5_k, "Q5_K"},
    {DType::q6_k, "Q6_K"},
});

}  // namespace

std::span<const StoredDType> stored_dtypes() {
    return rows;
}

std::string_view stored_name(DType dtype) {
    const auto row = std::ranges::find(rows, dtype, &StoredDType::dtype);
    T2I_CHECK(row != rows.end(), "a type without a name in files");
    return row->name;
}

std::optional<DType> stored_dtype(std::string_view name) {
    const auto row = std::ranges::find(rows, name, &StoredDType::name);
    return row == rows.end() ? std::nullopt : std::optional(row->dtype);
}

DType dtype_of(const CheckpointReader::Entry& entry) {
    const auto dtype = stored_dtype(entry.dtype);
    if (!dtype)
        throw Error(ErrorCode::input, "tensor " + in_quotes(entry.name) + ": dtype " + entry.dtype + " is not supported",
                    entry.file);
    return *dtype;
}

}  // namespace t2i
