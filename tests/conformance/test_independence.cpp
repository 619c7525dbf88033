// What a picture must not depend on: who shares its batch, how many threads work, what ran before.
#include <cstring>

#include "backend/registry.h"
#include "ops/op_cases.h"
#include "ops/ops.h"
#include "support/catch.h"

using namespace t2i;

namespace {

// Every dtype in which the CPU backend multiplies here.
template <typename Test>
void in_every_dtype(Op op, Test test) {
    const auto backend = make_backend("cpu", {.threads = 2});
    Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
    for (const DType dtype : {DType::f32, DType::bf16})
        if (backend->supports(op, dtype)) test(ExecContext{*backend, scratch, nullptr}, dtype);
}

bool same_bytes(const TensorView& a, const TensorView& b) {
    return a.bytes() == b.bytes() && std::memcmp(a.data, b.data, a.bytes()) == 0;
}

}  // namespace

TEST_CASE("a row of linear does not depend on the rows beside it") {
    in_every_dtype(Op::linear, [](const ExecContext& ctx, DType dtype) {
        constexpr std::int64_t rows = 300, k = 384, n = 200;
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView x = tensors.input({rows, k}, dtype), bias = tensors.input({n}, DType::f32);
        const PackedWeight* weight = tensors.linear_weight(n, k);
        const Tensor whole = Tensor::host({rows, n});
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
                const Tensor part = Tensor::host({count, n});
                a.x = x.slice(begin, count);
                a.out = part;
                ops::linear(ctx, a);
                INFO(count << " rows from " << begin);
                CHECK(same_bytes(part, whole.view.slice(begin, count)));
            }
        }
    });
}

TEST_CASE("a sequence of attention does not depend on its batch") {
    in_every_dtype(Op::attention, [](const ExecContext& ctx, DType dtype) {
        constexpr std::int64_t batch = 3, heads = 2, tokens = 77, width = heads * 72;
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView qkv = tensors.input({batch * tokens, 3 * width}, dtype);
        const auto run = [&](const TensorView& m, std::int64_t b, const TensorView& out,
                             const TensorView& lengths) {
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
        const Tensor whole = Tensor::host({batch * tokens, width}, dtype),
                     alone = Tensor::host({tokens, width}, dtype);
        run(qkv, batch, whole, lengths);
        for (std::int64_t b = 0; b < batch; ++b) {
            run(qkv.slice(b * tokens, tokens), 1, alone,
                lengths.slice(b, 1));
            INFO("sequence " << b);
            CHECK(same_bytes(alone, whole.view.slice(b * tokens, tokens)));
        }
    });
}

TEST_CASE("keys past a sequence's length are not read") {
    in_every_dtype(Op::attention, [](const ExecContext& ctx, DType dtype) {
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView q = tensors.input({5, 64}, dtype), k = tensors.input({20, 64}, dtype),
                         v = tensors.input({20, 64}, dtype);
        const Tensor before = Tensor::host({5, 64}, dtype), after = Tensor::host({5, 64}, dtype);
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
        for (const TensorView& m : {k, v})
            std::memset(m.slice(9, 11).data, 0xFF, m.slice(9, 11).bytes());  // NaN
        run(after);
        CHECK(same_bytes(before, after));
    });
}

TEST_CASE("a picture of conv2d does not depend on its batch") {
    in_every_dtype(Op::conv2d, [](const ExecContext& ctx, DType dtype) {
        PreparedOp tensors(ctx.backend, dtype, Fill::reals);
        const TensorView x = tensors.input({3, 11, 13, 20}, dtype);
        Conv2dArgs a;
        a.weight = tensors.conv2d_weight({24, 20, 3, 3});
        a.padding = {1, 1, 1, 1};
        const Tensor whole = Tensor::host({3, 11, 13, 24}, dtype),
                     alone = Tensor::host({1, 11, 13, 24}, dtype);
        a.x = x;
        a.out = whole;
        ops::conv2d(ctx, a);
        for (std::int64_t b = 0; b < 3; ++b) {
            a.x = x.slice(b, 1);
            a.out = alone;
            ops::conv2d(ctx, a);
            CHECK(same_bytes(alone, whole.view.slice(b, 1)));
        }
    });
}

TEST_CASE("more threads than parts, and than cores") {
    const auto one = make_backend("cpu", {.threads = 1}), seven = make_backend("cpu", {.threads = 7});
    for (const Op op : {Op::linear, Op::attention, Op::conv2d, Op::group_norm})
        for (const OpCase& c : op_cases(op)) {
            if (c.purpose == Purpose::time || c.flops > 5e7) continue;
            const auto a = c.prepare(*one, DType::f32, Fill::reals),
                       b = c.prepare(*seven, DType::f32, Fill::reals);
            a->run();
            b->run();
            INFO(c.name);
            const bool same = a->out_bytes() == b->out_bytes();
            CHECK(same);
        }
}
