#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "checkpoint/convert_tensors.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/stored_dtype.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

CheckpointReader::Entry entry(const std::string& name, Shape shape, DType dtype = DType::f32) {
    return {.name = name, .dtype = std::string(stored_name(dtype)), .shape = shape, .bytes = bytes_of(shape, dtype), .file = "f"};
}

struct Converted {
    std::vector<std::byte> bytes;
    ConversionError error;
};

// A tensor of these values, written, read and converted.
class OneTensor {
  public:
    OneTensor(Shape shape, std::span<const float> values) : shape_(shape) {
        Tensor tensor = Tensor::host(shape);
        std::memcpy(tensor.view.data, values.data(), values.size_bytes());
        const NamedTensor named{"w", tensor};
        write_safetensors(folder_ / "w.safetensors", std::span(&named, 1));
        reader_ = open_checkpoint(folder_ / "w.safetensors");
    }
    [[nodiscard]] Converted to(DType dtype, int threads = 1) const {
        Converted result;
        result.error = convert_tensor(*reader_, {"w", {"w", dtype, shape_}}, threads, [&](std::span<const std::byte> piece) {
            result.bytes.insert(result.bytes.end(), piece.begin(), piece.end());
        });
        return result;
    }

  private:
    TempFolder folder_;
    Shape shape_;
    std::unique_ptr<CheckpointReader> reader_;
};

std::vector<float> waves(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(0.37F * static_cast<float>(i));
    return values;
}

}  // namespace

TEST_CASE("convert: which type a tensor gets") {
    const auto in = [](Container container, std::optional<DType> wanted, const std::string& name, Shape shape,
                       DType stored = DType::f32) { return converted_type(entry(name, shape, stored), wanted, container); };
    using enum Container;
    CHECK(in(safetensors, std::nullopt, "w", {4, 256}, DType::f16) == DType::f16);
    CHECK(in(safetensors, std::nullopt, "w", {4, 256}, DType::q8_0) == DType::f32);
    CHECK(in(safetensors, std::nullopt, "w", {4}, DType::f64) == DType::f64);
    CHECK(in(safetensors, DType::bf16, "w", {4}) == DType::bf16);
    CHECK(in(safetensors, DType::bf16, "ids", {4}, DType::i32) == DType::i32);
    CHECK(in(gguf, std::nullopt, "w", {4, 256}, DType::bf16) == DType::bf16);
    CHECK(in(gguf, std::nullopt, "norm.weight", {4}, DType::bf16) == DType::f32);
    CHECK(in(gguf, std::nullopt, "w", {4, 256}, DType::f8_e4m3) == DType::f16);
    CHECK(in(gguf, DType::q4_k, "w", {4, 512}) == DType::q4_k);
    CHECK(in(gguf, DType::q4_k, "w", {4, 288}) == DType::q8_0);  // whole blocks of 32, not of 256
    CHECK(in(gguf, DType::q4_k, "w", {4, 100}) == DType::f16);
    CHECK(in(gguf, DType::q8_0, "conv.weight", {4, 32, 3, 32}) == DType::f16);
    CHECK(in(gguf, DType::q8_0, "norm.weight", {256}) == DType::f32);
    CHECK(in(gguf, DType::q8_0, "a.relative_attention_bias.weight", {32, 64}) == DType::f32);
    CHECK(in(gguf, DType::q8_0, "blocks.0.scale_shift_table", {6, 64}) == DType::f32);
    CHECK(in(gguf, DType::q8_0, "caption_projection.linear_1.weight", {32, 64}) == DType::f16);
    CheckpointReader::Entry strange = entry("w", {1});
    strange.dtype = "C64";
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)converted_type(strange, DType::f16, safetensors); }), "C64"));
}

TEST_CASE("convert: values are rounded, the error is measured, and threads change nothing") {
    constexpr std::int64_t rows = 1100, columns = 512;  // more than two pieces
    const auto values = waves(static_cast<std::size_t>(rows * columns));
    const OneTensor tensor({rows, columns}, values);
    const Converted same = tensor.to(DType::f32);
    CHECK(same.error.relative == 0);
    CHECK(same.error.largest == 0);
    REQUIRE(same.bytes.size() == values.size() * sizeof(float));
    CHECK(std::memcmp(same.bytes.data(), values.data(), same.bytes.size()) == 0);
    double before = 1;
    // Of a sine's values: half a unit in the last place, uniformly distributed, against the mean square. The bounds are those
    // errors' sizes within a factor of two.
    for (const auto& [dtype, expected] : {std::pair{DType::q4_0, 0.08},
                                          {DType::q4_k, 0.05},
                                          {DType::q8_0, 0.0045},
                                          {DType::bf16, 0.0016},
                                          {DType::f16, 0.0002}}) {
        INFO(name_of(dtype));
        const Converted one = tensor.to(dtype, 1), three = tensor.to(dtype, 3);
        CHECK(one.bytes == three.bytes);
        CHECK(one.bytes.size() == bytes_of({rows, columns}, dtype));
        CHECK(one.error.relative > expected / 2);
        CHECK(one.error.relative < expected * 2);
        CHECK(one.error.relative < before);
        CHECK(one.error.largest >=
              one.error.relative * std::sqrt(0.5) * 0.99);  // the largest is no less than the root of the mean
        before = one.error.relative;
        std::vector<float> back(values.size());
        convert_to_f32(one.bytes.data(), dtype, back.size(), back.data());
        double differences = 0, squares = 0;
        for (std::size_t i = 0; i < back.size(); ++i) {
            differences += (back[i] - values[i]) * static_cast<double>(back[i] - values[i]);
            squares += values[i] * static_cast<double>(values[i]);
        }
        CHECK(std::abs(std::sqrt(differences / squares) - one.error.relative) < 1e-6 * one.error.relative + 1e-9);
    }
}

TEST_CASE("convert: what a type cannot hold is an error that names the tensor") {
    const auto problem = [](float value, DType dtype) {
        std::vector<float> values(256, 0.5F);
        values[7] = value;
        return message_of(ErrorCode::input, [&] { (void)OneTensor({1, 256}, values).to(dtype); });
    };
    CHECK(contains(problem(std::numeric_limits<float>::quiet_NaN(), DType::bf16),
                   ".safetensors: tensor \"w\": NaN or Inf at value 7"));
    CHECK(contains(problem(70000.0F, DType::f16), "tensor \"w\": 70000.000000 is too large for f16"));
    CHECK(contains(problem(1e30F, DType::q8_0), "tensor \"w\""));
}
