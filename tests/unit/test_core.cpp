#include <cmath>
#include <limits>
#include <vector>

#include "core/arena.h"
#include "core/dtype.h"
#include "core/nearest.h"
#include "core/tensor.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

TEST_CASE("shape: extents, products and text") {
    const Shape shape{2, 3, 4};
    CHECK(shape.rank() == 3);
    CHECK(shape[-1] == 4);
    CHECK(shape.elements() == 24);
    CHECK(shape.rows() == 6);
    CHECK(shape.columns() == 4);
    CHECK(shape.text() == "[2, 3, 4]");
    CHECK(Shape{}.elements() == 1);
    CHECK(Shape{}.rows() == 1);
    CHECK(Shape{0, 5}.elements() == 0);
    CHECK(Shape{1, 2} != Shape{2, 1});
    CHECK(Shape{1} != Shape{1, 1});
    CHECK(contains(message_of(ErrorCode::input, [] { (void)Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }), "8 dimensions"));
    CHECK(contains(message_of(ErrorCode::input, [] { (void)Shape{-1}; }), "negative"));
    const std::int64_t huge = std::int64_t{1} << 40;
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)Shape{huge, huge}.elements(); }), "overflows"));
}

TEST_CASE("dtype: every bf16 and f16 survives the trip to f32, and rounding is to nearest even") {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const float wide = to_f32(bf16{static_cast<std::uint16_t>(bits)});
        if (std::isnan(wide)) CHECK(std::isnan(to_f32(to_bf16(wide))));
        else if (to_bf16(wide).bits != bits) FAIL("bf16 bits " << bits);
        const float half = to_f32(f16{static_cast<std::uint16_t>(bits)});
        const std::uint32_t exponent = (bits >> 10) & 31U, fraction = bits & 1023U;
        if (exponent == 31) {
            CHECK((fraction != 0 ? std::isnan(half) : std::isinf(half)));
            continue;
        }
        const double magnitude =
            exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
        if (static_cast<double>(half) != (bits & 0x8000U ? -magnitude : magnitude)) FAIL("f16 bits " << bits);
    }
    CHECK(to_bf16(1.0F + 0x1p-8F).bits == to_bf16(1.0F).bits);              // tie: to even, down
    CHECK(to_f32(to_bf16(1.0F + 3 * 0x1p-8F)) == 1.0F + 0x1p-6F);           // tie: to even, up
    CHECK(std::isinf(to_f32(to_bf16(std::numeric_limits<float>::max()))));  // rounds past the largest
}

TEST_CASE("dtype: conversion reads unaligned memory") {
    std::vector<std::byte> bytes(1 + 2 * sizeof(float));
    const float values[] = {1.5F, -2.0F};
    std::memcpy(bytes.data() + 1, values, sizeof values);
    std::vector<float> out(2);
    convert_to_f32(bytes.data() + 1, DType::f32, 2, out.data());
    CHECK(out == std::vector<float>{1.5F, -2.0F});
    const bf16 half[] = {to_bf16(0.25F)};
    std::memcpy(bytes.data() + 1, half, sizeof half);
    convert_to_f32(bytes.data() + 1, DType::bf16, 1, out.data());
    CHECK(out[0] == 0.25F);
    CHECK(contains(message_of(ErrorCode::input, [&] { convert_to_f32(bytes.data(), DType::u8, 1, out.data()); }), "u8"));
}

TEST_CASE("tensor: views, slices and what they refuse") {
    const Tensor t = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {3, 2});
    CHECK(reinterpret_cast<std::uintptr_t>(t.view.data) % 64 == 0);
    const TensorView rows = t.view.slice(1, 2);
    CHECK(rows.shape == Shape{2, 2});
    CHECK(rows.as<float>()[0] == 2.0F);
    CHECK(t.view.reshaped({6}).as<float>()[5] == 5.0F);
    CHECK(t.view.slice(3, 0).elements() == 0);
    CHECK_THROWS_AS(t.view.slice(2, 2), std::logic_error);
    CHECK_THROWS_AS(t.view.reshaped({5}), std::logic_error);
    CHECK_THROWS_AS(t.as<bf16>(), std::logic_error);
    CHECK_THROWS_AS(Tensor::from(std::vector<float>{1}, {2}), std::logic_error);
}

TEST_CASE("buffer: moves, and frees once") {
    int freed = 0;
    {
        int memory = 0;
        Buffer a(&memory, 4, Device::host, [&](void*) { ++freed; });
        Buffer b(std::move(a));
        CHECK(a.data() == nullptr);  // NOLINT(bugprone-use-after-move): what a moved-from buffer holds is the point
        Buffer c;
        c = std::move(b);
        CHECK(c.data() == &memory);
        CHECK(freed == 0);
    }
    CHECK(freed == 1);
}

TEST_CASE("arena: a second pass of the same shapes allocates nothing") {
    int allocations = 0;
    Arena arena([&](std::size_t bytes) {
        ++allocations;
        return Buffer::host(bytes);
    });
    const auto pass = [&] {
        const Arena::Mark mark(arena);
        const TensorView a = arena.take({1000, 1000}), b = arena.take({3}), c = arena.take({3000, 1000}, DType::bf16);
        a.as<float>().back() = 1.0F;
        b.as<float>()[0] = 2.0F;
        c.as<bf16>().back() = to_bf16(3.0F);
        CHECK(a.as<float>().back() == 1.0F);
        CHECK(b.as<float>()[0] == 2.0F);
        CHECK(reinterpret_cast<std::uintptr_t>(b.data) % 64 == 0);
        return a.data;
    };
    const void* first = pass();
    const int after_first = allocations;
    CHECK(pass() == first);
    CHECK(allocations == after_first);
    CHECK(arena.peak_bytes() >= 4'000'000 + 6'000'000);
}

TEST_CASE("nearest names") {
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("same", "same") == 0);
    const std::vector<std::string> names{"euler", "euler_a", "ddim"};
    CHECK(nearest_name("eulr", names) == "euler");
    CHECK(nearest_name("euler-a", names) == "euler_a");
    CHECK(nearest_name("completely different", names).empty());
    CHECK(nearest_name(std::string(1000, 'x'), names).empty());
    CHECK(nearest_names("euler_", names, 2) == std::vector<std::string>{"euler", "euler_a"});
    CHECK(nearest_names("euler_", names, 1) == std::vector<std::string>{"euler"});
    CHECK(in_quotes("a\nb") == "\"a\\nb\"");
    CHECK(in_quotes(std::string(1000, 'x')).size() < 200);
}
