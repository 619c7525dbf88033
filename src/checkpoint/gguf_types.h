// The numbers that GGUF gives to types. Sources: ggml.h (enum ggml_type), ggml-common.h (sizes), gguf.h (enum gguf_type).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace t2i {

// Of a value in the metadata.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

// Of tensors.
struct GgufTensorType {
    std::uint32_t id;
    std::string_view name;
    std::uint64_t values, bytes;  // of one block
};
// What files hold. Numbers that are missing were given up, or are of types that stand in memory alone.
constexpr auto gguf_tensor_types = std::to_array<GgufTensorType>({
    {0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},     {6, "Q5_0", 32, 22},
    {7, "Q5_1", 32, 24},    {8, "Q8_0", 32, 34},    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},  {12, "Q4_K", 256, 144},
    {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74}, {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50}, {20, "IQ4_NL", 32, 18}, {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},  {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},       {25, "I16", 1, 2},      {26, "I32", 1, 4},        {27, "I64", 1, 8},       {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56}, {30, "BF16", 1, 2},     {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},  {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},  {41, "Q1_0", 128, 18},
});

// Nothing: GGUF has no such type.
[[nodiscard]] constexpr std::optional<std::uint32_t> gguf_type_id(std::string_view name) {
    const auto row = std::ranges::find(gguf_tensor_types, name, &GgufTensorType::name);
    return row == gguf_tensor_types.end() ? std::nullopt : std::optional(row->id);
}

}  // namespace t2i
