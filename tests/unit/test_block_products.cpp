// Products whose weights stay quantised: the same bits as with the same numbers in plain types.
#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "backend/registry.h"
#include "core/arena.h"
#include "core/blocks.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

constexpr std::array block_types{DType::q8_0, DType::q4_0, DType::q4_k, DType::q5_k, DType::q6_k};

Tensor normal(const Shape& shape, std::uint32_t seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> numbers;
    const Tensor t = Tensor::host(shape);
    for (float& v : t.as<float>()) v = numbers(engine);
    Tensor out = Tensor::host(shape);
    std::ranges::copy(t.as<float>(), out.as<float>().begin());
    return out;
}

Tensor quantised(const Shape& shape, DType dtype, std::uint32_t seed) {
    const Tensor values = normal(shape, seed);
    Tensor packed = Tensor::host(shape, dtype);
    pack_blocks(values.as<float>().data(), static_cast<std::size_t>(shape.elements()), dtype, packed.view.data);
    return packed;
}

Tensor plain(const TensorView& t) {
    Tensor values = Tensor::host(t.shape);
    convert_to_f32(t.data, t.dtype, static_cast<std::size_t>(t.elements()), values.as<float>().data());
    return values;
}

// x · weightᵀ + bias, on the host.
std::vector<float> product(Backend& backend, const PackedWeight& weight, std::int64_t m) {
    Arena scratch([&](std::size_t bytes) { return backend.allocate(bytes); });
    const ExecContext ctx{backend, scratch, nullptr};
    const std::int64_t n = weight.shape[0], k = weight.shape[1];
    const Tensor x32 = upload(backend, normal({m, k}, 5)), bias = upload(backend, normal({n}, 6));
    const Tensor out = allocate(backend, {m, n}), x = allocate(backend, {m, k}, weight.compute);
    if (weight.compute == DType::f32) backend.copy(x32, x);
    else ops::cast(ctx, x32, x);
    LinearArgs a;
    a.x = x;
    a.weight = &weight;
    a.bias = bias.view;
    a.activation = Activation::silu;
    a.out = out;
    ops::linear(ctx, a);
    const Tensor host = Tensor::host({m, n});
    backend.copy(out, host);
    return {host.as<float>().begin(), host.as<float>().end()};
}

void check_same(Backend& backend, std::span<const TensorView> blocks, DType compute, std::int64_t m) {
    std::vector<Tensor> values;
    std::vector<TensorView> views;
    for (const TensorView& b : blocks) views.push_back(values.emplace_back(plain(b)).view);
    const auto quantised = ops::pack_stacked(backend, blocks, compute), expected = ops::pack_stacked(backend, views, compute);
    CHECK(quantised->shape == expected->shape);
    CHECK(quantised->compute == compute);
    CHECK(product(backend, *quantised, m) == product(backend, *expected, m));
}

}  // namespace

TEST_CASE("block products: a quantised weight gives the bits of its own numbers") {
    const auto backend = make_backend("cpu", {.threads = 2});
    for (const DType compute : {DType::f32, DType::bf16}) {
        if (!backend->supports(Op::linear, compute)) continue;
        for (const DType dtype : block_types)
            for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{70, 256}, {32, 768}, {1, 512}}) {
                const Tensor weight = quantised({n, k}, dtype, 1);
                for (const std::int64_t m : {1, 2, 63, 64, 65, 130}) {
                    CAPTURE(name_of(compute), name_of(dtype), n, k, m);
                    check_same(*backend, std::span(&weight.view, 1), compute, m);
                }
            }
    }
}

TEST_CASE("block products: matrices of several types under one another") {
    for (const char* name : {"cpu", "ref", "emulated"}) {
        const auto backend = make_backend(name, {.threads = 2});
        const Tensor a = quantised({64, 256}, DType::q4_k, 1), b = quantised({32, 256}, DType::q6_k, 2),
                     c = quantised({40, 256}, DType::q6_k, 3), d = quantised({8, 256}, DType::q8_0, 4), e = normal({32, 256}, 5);
        for (const DType compute : {DType::f32, DType::bf16}) {
            if (!backend->supports(Op::linear, compute)) continue;
            CAPTURE(name, name_of(compute));
            check_same(*backend, std::array<TensorView, 3>{a, b, c}, compute, 3);  // whole groups of rows have one type
            check_same(*backend, std::array<TensorView, 3>{c, d, a}, compute, 3);  // they do not
            check_same(*backend, std::array<TensorView, 2>{a, e}, compute, 3);     // a plain one among them
        }
    }
}

TEST_CASE("block products: packing sees what is not finite") {
    const auto backend = make_backend("cpu");
    for (const DType dtype : block_types) {
        CAPTURE(name_of(dtype));
        const Tensor weight = quantised({33, 256}, dtype, 1);
        CHECK(ops::pack_linear(*backend, weight, DType::f32)->is_known_finite);
        const StorageBlock block = block_of(dtype);
        const bool has_minimum = dtype == DType::q4_k || dtype == DType::q5_k;
        const std::size_t last = weight.view.bytes() - block.bytes;
        for (const std::size_t at : {dtype == DType::q6_k ? block.bytes - 2 : 0, has_minimum ? std::size_t{2} : std::size_t{0}}) {
            if (dtype == DType::q6_k && at == 0) continue;
            const Tensor broken = quantised({33, 256}, dtype, 1);
            static_cast<std::uint8_t*>(broken.view.data)[last + at] = 0;
            static_cast<std::uint8_t*>(broken.view.data)[last + at + 1] = 0x7C;  // Inf
            CHECK_FALSE(ops::pack_linear(*backend, broken, DType::f32)->is_known_finite);
        }
    }
    for (const DType compute : {DType::f32, DType::bf16}) {
        if (!backend->supports(Op::linear, compute)) continue;
        const Tensor weight = normal({40, 24}, 1);
        CHECK(ops::pack_linear(*backend, weight, compute)->is_known_finite);
        weight.as<float>().back() = -std::numeric_limits<float>::infinity();
        CHECK_FALSE(ops::pack_linear(*backend, weight, compute)->is_known_finite);
    }
}

TEST_CASE("block products: a convolution refuses them by name") {
    const auto backend = make_backend("cpu");
    const Tensor filter = Tensor::host({4, 1, 1, 32}, DType::q8_0);
    try {
        static_cast<void>(ops::pack_conv2d(*backend, filter, DType::f32, {}));
        FAIL("no error");
    } catch (const std::logic_error& e) {
        CHECK(contains(e.what(), "q8_0"));
    }
}

}  // namespace t2i::test
