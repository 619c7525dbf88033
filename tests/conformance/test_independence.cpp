// What a picture must not depend on: who shares its batch, how many threads work, what ran before.
#include <cstring>

#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"
#include "workloads/op_cases.h"

using namespace t2i;

namespace {

// Every backend but the reference, in every dtype in which it multiplies here.
template <typename Test>
void in_every_dtype(Op op, Test test) {
    for (const std::string& name : backend_names()) {
        if (name == "ref") continue;
        INFO(name);
        const auto backend = make_backend(name, {.threads = 2});
        Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
        for (const DType dtype : {DType::f32, DType::bf16})
            if (backend->supports(op, dtype)) test(ExecContext{*backend, scratch, nullptr}, dtype);
    }
}

std::vector<std::byte> bytes_of(Backend& backend, const TensorView& t) {
    const Tensor host = Tensor::host(t.shape, t.dtype);
    backend.copy(t, host);
    const auto* bytes = static_cast<const std::byte*>(host.view.data);
    return {bytes, bytes + t.bytes()};
}

bool same_bytes(const ExecContext& ctx, const TensorView& a, const TensorView& b) {
    return bytes_of(ctx.backend, a) == bytes_of(ctx.backend, b);
}

}  // namespace

TEST_CASE("a row of linear does not depend on the rows beside it") {
    in_every_dtype(Op::linear, [](const ExecContext& ctx, DType dtype) {
        constexpr std::int64_t rows = 300, k = 384, n = 200;
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView x = tensors.input({rows, k}, dtype), bias = tensors.input({n}, DType::f32);
        const PackedWeight* weight = tensors.linear_weight(n, k);
        const Tensor whole = allocate(ctx.backend, {rows, n});
        LinearArgs a{.x = x,
                     .weight = weight,
                     .bias = bias,
                     .activation = Activation::gelu_tanh,
                     .gate = {},
                     .residual = {},
                     .out = whole};
        ops::linear(ctx, a);
        for (const std::int64_t count : {1, 2, 5, 16, 48, 77, 129}) {
            for (const std::int64_t begin : {std::int64_t{0}, std::int64_t{100}, rows - count}) {
                const Tensor part = allocate(ctx.backend, {count, n});
                a.x = x.slice(begin, count);
                a.out = part;
                ops::linear(ctx, a);
                INFO(count << " rows from " << begin);
                CHECK(same_bytes(ctx, part, whole.view.slice(begin, count)));
            }
        }
    });
}

TEST_CASE("a sequence of attention does not depend on its batch") {
    in_every_dtype(Op::attention, [](const ExecContext& ctx, DType dtype) {
        constexpr std::int64_t batch = 3, heads = 2, tokens = 77, width = heads * 72;
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView qkv = tensors.input({batch * tokens, 3 * width}, dtype);
        const auto run = [&](const TensorView& m, std::int64_t b, const TensorView& out, const TensorView& lengths) {
            ops::attention(ctx, {.q = {m, 0, width},
                                 .k = {m, width, width},
                                 .v = {m, 2 * width, width},
                                 .batch = b,
                                 .heads = heads,
                                 .scale = 0.1F,
                                 .bias = {},
                                 .key_lengths = lengths,
                                 .out = out});
        };
        const TensorView lengths = tensors.integers({77, 13, 40});
        const Tensor whole = allocate(ctx.backend, {batch * tokens, width}, dtype),
                     alone = allocate(ctx.backend, {tokens, width}, dtype);
        run(qkv, batch, whole, lengths);
        for (std::int64_t b = 0; b < batch; ++b) {
            run(qkv.slice(b * tokens, tokens), 1, alone, lengths.slice(b, 1));
            INFO("sequence " << b);
            CHECK(same_bytes(ctx, alone, whole.view.slice(b * tokens, tokens)));
        }
    });
}

TEST_CASE("keys past a sequence's length are not read") {
    in_every_dtype(Op::attention, [](const ExecContext& ctx, DType dtype) {
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView q = tensors.input({5, 64}, dtype), k = tensors.input({20, 64}, dtype),
                         v = tensors.input({20, 64}, dtype);
        const Tensor before = allocate(ctx.backend, {5, 64}, dtype), after = allocate(ctx.backend, {5, 64}, dtype);
        const TensorView length = tensors.integers({9});
        const auto run = [&](const TensorView& out) {
            ops::attention(ctx, {.q = Columns::all(q),
                                 .k = Columns::all(k),
                                 .v = Columns::all(v),
                                 .bias = {},
                                 .key_lengths = length,
                                 .out = out});
        };
        run(before);
        const Tensor nan = Tensor::host({11, 64}, dtype);
        std::memset(nan.view.data, 0xFF, nan.view.bytes());
        for (const TensorView& m : {k, v}) ctx.backend.copy(nan, m.slice(9, 11));
        run(after);
        CHECK(same_bytes(ctx, before, after));
    });
}

TEST_CASE("a picture of conv2d does not depend on its batch") {
    in_every_dtype(Op::conv2d, [](const ExecContext& ctx, DType dtype) {
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView x = tensors.input({3, 11, 13, 20}, dtype);
        Conv2dArgs a;
        a.weight = tensors.conv2d_weight({24, 20, 3, 3});
        a.padding = {1, 1, 1, 1};
        a.norm = {.weight = tensors.input({20}, DType::f32),
                  .bias = tensors.input({20}, DType::f32),
                  .groups = 5,
                  .activation = Activation::silu};
        const Tensor whole = allocate(ctx.backend, {3, 11, 13, 24}, dtype), alone = allocate(ctx.backend, {1, 11, 13, 24}, dtype);
        a.x = x;
        a.out = whole;
        ops::conv2d(ctx, a);
        for (std::int64_t b = 0; b < 3; ++b) {
            a.x = x.slice(b, 1);
            a.out = alone;
            ops::conv2d(ctx, a);
            CHECK(same_bytes(ctx, alone, whole.view.slice(b, 1)));
        }
    });
}

TEST_CASE("more threads than parts, and than cores") {
    const auto one = make_backend("cpu", {.threads = 1}), seven = make_backend("cpu", {.threads = 7});
    for (const Op op : {Op::linear, Op::attention, Op::conv2d, Op::group_norm})
        for (const OpCase& c : op_cases(op)) {
            if (c.purpose == Purpose::time || c.flops > 5e7) continue;
            const auto a = c.prepare(*one, DType::f32, Fill::reals), b = c.prepare(*seven, DType::f32, Fill::reals);
            a->run();
            b->run();
            INFO(c.name);
            const bool same = a->out_bytes() == b->out_bytes();
            CHECK(same);
        }
}
