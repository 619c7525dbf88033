#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/blocks.h"
#include "core/tensor.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

constexpr std::array block_types{DType::q8_0, DType::q4_0, DType::q4_k, DType::q5_k, DType::q6_k};

// A block whose every byte is used: byte b is (37 b + 11) mod 256, then d = 1 and, where there is one, a minimum of 0.5.
std::vector<std::uint8_t> counted_block(DType dtype) {
    std::vector<std::uint8_t> block(block_of(dtype).bytes);
    for (std::size_t b = 0; b < block.size(); ++b) block[b] = static_cast<std::uint8_t>(37 * b + 11);
    const auto put = [&](std::size_t at, float value) {
        const f16 half = to_f16(value);
        std::memcpy(block.data() + at, &half, sizeof half);
    };
    put(dtype == DType::q6_k ? block.size() - 2 : 0, 1.0F);
    if (dtype == DType::q4_k || dtype == DType::q5_k) put(2, 0.5F);
    return block;
}

std::vector<float> unpacked(DType dtype, const void* blocks, std::size_t count) {
    std::vector<float> values(count);
    unpack_blocks(blocks, dtype, count, values.data());
    return values;
}

std::vector<float> there_and_back(DType dtype, const std::vector<float>& values) {
    std::vector<std::byte> packed(bytes_of(dtype, static_cast<std::int64_t>(values.size())));
    pack_blocks(values.data(), values.size(), dtype, packed.data());
    return unpacked(dtype, packed.data(), values.size());
}

std::vector<float> normal_values(std::size_t count, float deviation) {
    std::mt19937 engine(7);
    std::normal_distribution<float> normal(0.0F, deviation);
    std::vector<float> values(count);
    for (float& v : values) v = normal(engine);
    return values;
}

// Root of the mean squared error in parts of the values' own.
double relative_error(const std::vector<float>& values, const std::vector<float>& other) {
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        error += std::pow(static_cast<double>(other[i]) - values[i], 2);
        size += std::pow(static_cast<double>(values[i]), 2);
    }
    return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("blocks: what a row takes, and what has no size") {
    CHECK(bytes_of(DType::f32, 3) == 12);
    CHECK(bytes_of(DType::q8_0, 64) == 68);
    CHECK(bytes_of(DType::q4_0, 64) == 36);
    CHECK(bytes_of(DType::q4_k, 512) == 288);
    CHECK(bytes_of(DType::q5_k, 256) == 176);
    CHECK(bytes_of(DType::q6_k, 256) == 210);
    CHECK(bytes_of(Shape{3, 64}, DType::q8_0) == 3 * 68);
    CHECK(bytes_of(Shape{}, DType::bf16) == 2);
    CHECK_THROWS_AS(bytes_of(DType::q8_0, 33), std::logic_error);
    CHECK_THROWS_AS((bytes_of(Shape{32, 16}, DType::q8_0)), std::logic_error);  // 16 whole blocks, but no whole row
    CHECK_THROWS_AS(size_of(DType::q4_k), std::logic_error);
    const Tensor t = Tensor::host({4, 2, 32}, DType::q8_0);
    CHECK(t.view.bytes() == 8 * 34);
    CHECK(static_cast<std::byte*>(t.view.slice(1, 2).data) - static_cast<std::byte*>(t.view.data) == 2 * 34);
    CHECK_THROWS_AS(t.as<float>(), std::logic_error);
}

// The expected numbers were made by two programs apart from ours (ggml's rules and a Python reader of GGUF).
TEST_CASE("blocks: every bit of a block has its place") {
    struct Expected {
        DType dtype;
        std::vector<float> values;
        double sum;
    };
    const std::vector<int> at_32{0, 1, 15, 16, 31}, at_256{0, 1, 31, 32, 63, 64, 128, 200, 255};
    for (const auto& [dtype, values, sum] : {
             Expected{DType::q4_0, {-3, 2, -8, -3, 0}, -21},
             Expected{DType::q8_0, {85, 122, -128, -91, -48}, -176},
             Expected{DType::q4_k, {315.5F, -25.5F, 160.5F, 8, 40, 420.5F, 423, 138.5F, 48.5F}, 54440},
             Expected{DType::q5_k, {811.5F, -25.5F, 160.5F, 112, 80, 420.5F, 1047, 138.5F, 108.5F}, 116216},
             Expected{DType::q6_k, {-1431, 1696, -96, 231, -580, -3040, -351, 1089, -60}, 4612},
         }) {
        INFO(name_of(dtype));
        const auto count = static_cast<std::size_t>(block_of(dtype).elements);
        const auto y = unpacked(dtype, counted_block(dtype).data(), count);
        const auto& at = count == 32 ? at_32 : at_256;
        for (std::size_t i = 0; i < at.size(); ++i) CHECK(y[static_cast<std::size_t>(at[i])] == values[i]);
        CHECK(std::accumulate(y.begin(), y.end(), 0.0) == sum);
    }
}

TEST_CASE("blocks: each scale that is no number is found, and nothing else is taken for one") {
    for (const DType dtype : {DType::q8_0, DType::q4_0, DType::q4_k, DType::q5_k, DType::q6_k}) {
        const std::size_t size = block_of(dtype).bytes;
        std::size_t scales = 0;
        for (std::size_t at = 0; at + 1 < size; at += 2) {
            std::vector<std::uint8_t> bytes(3 * size);
            bytes[size + at + 1] = 0x7C;  // infinity, where these two bytes are a scale
            const auto found = first_non_finite_scale(bytes.data(), dtype, 3);
            if (!found) continue;
            ++scales;
            CHECK(*found == 1);
        }
        CHECK(scales == (dtype == DType::q4_k || dtype == DType::q5_k ? 2 : 1));
    }
}

TEST_CASE("blocks: q8_0 and q4_0 are packed as GGUF's reference does") {
    std::vector<float> x(32);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 12.0F;  // -12 … 19
    const auto q8 = there_and_back(DType::q8_0, x), q4 = there_and_back(DType::q4_0, x);
    const float d8 = to_f32(to_f16(19.0F / 127.0F)), d4 = to_f32(to_f16(19.0F / -8.0F));
    CHECK(q8[31] == 127.0F * d8);
    CHECK(q8[0] == -80.0F * d8);  // -80.2
    CHECK(q4[31] == -8.0F * d4);
    CHECK(q4[0] == 5.0F * d4);  // 5.05
    for (const DType dtype : block_types) {
        const std::vector<float> zeros(256), back = there_and_back(dtype, zeros);
        CHECK(back == zeros);
    }
}

TEST_CASE("blocks: packing keeps normal weights as well as each type can, and its own values nearly exactly") {
    const auto values = normal_values(256 * 64, 0.02F);
    const std::array most{0.0055, 0.087, 0.072, 0.036, 0.018};
    for (std::size_t i = 0; i < block_types.size(); ++i) {
        INFO(name_of(block_types[i]));
        const auto once = there_and_back(block_types[i], values);
        CHECK(relative_error(values, once) < most[i]);
        CHECK(relative_error(once, there_and_back(block_types[i], once)) < most[i] / 4);
    }
}

TEST_CASE("blocks: outliers, one-sided runs and tiny values are packed, and too large ones refused") {
    for (const DType dtype : block_types) {
        INFO(name_of(dtype));
        auto values = normal_values(256, 1.0F);
        values[5] = 300.0F;
        CHECK(std::abs(there_and_back(dtype, values)[5] - 300.0F) < 20.0F);
        for (float& v : values) v = 2.0F + 0.01F * v;  // a minimum above zero
        CHECK(relative_error(values, there_and_back(dtype, values)) < 0.08);
        for (float& v : values) v = -v;
        CHECK(relative_error(values, there_and_back(dtype, values)) < 0.08);
        for (float& v : values) v *= 1e-42F;
        for (const float v : there_and_back(dtype, values)) CHECK(std::abs(v) < 1e-6F);
        values[0] = -3e38F;
        values[1] = 3e38F;
        CHECK(contains(message_of(ErrorCode::input, [&] { (void)there_and_back(dtype, values); }), name_of(dtype)));
    }
    CHECK_THROWS_AS(there_and_back(DType::q4_k, std::vector<float>(32)), std::logic_error);
}

TEST_CASE("blocks: convert_to_f32 reads them, and safetensors refuses them by name") {
    const auto values = normal_values(256, 1.0F);
    const Tensor row = Tensor::host({1, 256}, DType::q4_k);
    pack_blocks(values.data(), values.size(), DType::q4_k, row.view.data);
    std::vector<float> converted(256);
    convert_to_f32(row.view.data, DType::q4_k, 256, converted.data());
    CHECK(converted == unpacked(DType::q4_k, row.view.data, 256));
    const TempFolder folder;
    const std::vector<NamedTensor> tensors{{"w", row}};
    const std::string path = folder / "w.safetensors";
    const auto message = message_of(ErrorCode::input, [&] { write_safetensors(path, tensors); });
    CHECK(contains(message, "\"w\""));
    CHECK(contains(message, "q4_k"));
}

TEST_CASE("dtype: f32 is rounded to the nearest f16, ties to even") {
    for (std::uint32_t bits = 0; bits < 0x7C00U; ++bits) {
        const float here = to_f32(f16{static_cast<std::uint16_t>(bits)});
        if (to_f16(here).bits != bits || to_f16(-here).bits != (bits | 0x8000U)) FAIL("f16 bits " << bits);
        const float next = bits == 0x7BFFU ? 65536.0F : to_f32(f16{static_cast<std::uint16_t>(bits + 1)});
        const float middle = (here + next) / 2;  // exact in f32
        if (to_f16(middle).bits != bits + bits % 2) FAIL("above f16 bits " << bits);
        if (to_f16(std::nextafter(middle, 0.0F)).bits != bits) FAIL("below the middle above f16 bits " << bits);
        if (to_f16(std::nextafter(middle, 1e9F)).bits != bits + 1) FAIL("above the middle above f16 bits " << bits);
    }
    CHECK(to_f16(1e9F).bits == 0x7C00U);
    CHECK(to_f16(-std::numeric_limits<float>::infinity()).bits == 0xFC00U);
    CHECK(std::isnan(to_f32(to_f16(std::numeric_limits<float>::quiet_NaN()))));
}
