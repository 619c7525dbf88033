// What only a GPU can show: recordings, the order of copies, memory, products whose rows stand alone. Without a GPU these
// are skipped and say why; with T2I_REQUIRE_GPU=1 they fail.
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "backend/cuda_module.h"
#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"
#include "unit/expect_error.h"
#include "workloads/prepared_op.h"

using namespace t2i;
using namespace t2i::test;

namespace {

// Null without a GPU.
std::unique_ptr<Backend> gpu(bool fast_math = false) {
    const std::string reason = cuda_unavailable_reason();
    if (reason.empty()) return make_backend("cuda", {.threads = 0, .fast_math = fast_math});
    const char* required = std::getenv("T2I_REQUIRE_GPU");
    if (required && std::string(required) == "1") FAIL("T2I_REQUIRE_GPU=1, but " << reason);
    WARN("skipped: " << reason);
    return nullptr;
}

Arena arena_of(Backend& backend) {
    return Arena([&](std::size_t bytes) { return backend.allocate(bytes); });
}

std::vector<std::byte> bytes_of(Backend& backend, const TensorView& t) {
    const Tensor host = Tensor::host(t.shape, t.dtype);
    backend.copy(t, host);
    const auto* bytes = static_cast<const std::byte*>(host.view.data);
    return {bytes, bytes + t.bytes()};
}

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
    std::vector<std::byte> values(bytes);
    for (std::size_t i = 0; i < bytes; ++i) values[i] = static_cast<std::byte>((i * 2654435761U + seed) >> 13);
    return values;
}

TensorView view_of(std::vector<std::byte>& bytes) {
    return {bytes.data(), DType::u8, Device::host, {static_cast<std::int64_t>(bytes.size())}};
}

// Half a transformer block: norm, product with a bias, attention, product, residual. What a recorded step is made of.
struct Layer {
    static constexpr std::int64_t tokens = 256, heads = 4, head = 72, width = heads * head;
    Layer(Backend& backend, DType dtype)
        : tensors(backend, dtype, Fill::reals),
          stream(tensors.input({tokens, width}, DType::f32)),
          shift(tensors.input({1, width}, DType::f32)),
          scale(tensors.input({1, width}, DType::f32)),
          gate(tensors.input({1, width}, DType::f32)),
          qkv_bias(tensors.input({3 * width}, DType::f32)),
          qkv_weight(tensors.linear_weight(3 * width, width)),
          out_weight(tensors.linear_weight(width, width)),
          normed(allocate(backend, {tokens, width}, dtype)),
          qkv(allocate(backend, {tokens, 3 * width}, dtype)),
          mixed(allocate(backend, {tokens, width}, dtype)),
          result(allocate(backend, {tokens, width})) {}

    void run(const ExecContext& ctx) const {
        ops::norm_modulate(ctx, {.x = stream, .shift = shift, .scale = scale, .out = normed});
        ops::linear(ctx, {.x = normed, .weight = qkv_weight, .bias = qkv_bias, .gate = {}, .residual = {}, .out = qkv});
        ops::attention(ctx, {.q = {qkv, 0, width},
                             .k = {qkv, width, width},
                             .v = {qkv, 2 * width, width},
                             .heads = heads,
                             .scale = 0.1F,
                             .bias = {},
                             .key_lengths = {},
                             .out = mixed});
        ops::linear(ctx, {.x = mixed, .weight = out_weight, .bias = {}, .gate = gate, .residual = stream, .out = result});
    }

    PreparedOp tensors;
    TensorView stream, shift, scale, gate, qkv_bias;
    const PackedWeight *qkv_weight, *out_weight;
    Tensor normed, qkv, mixed, result;
};

}  // namespace

TEST_CASE("a GPU is there where one is required") {
    if (!gpu()) return;
    const CudaReport report = cuda_module().module->report();
    CHECK(report.problem.empty());
    CHECK(report.cudnn.problem.empty());
    REQUIRE_FALSE(report.devices.empty());
    CHECK_FALSE(report.devices.front().code.empty());
}

TEST_CASE("a replayed recording gives the bytes of the work itself, for new inputs too") {
    const DType dtype = GENERATE(DType::f32, DType::bf16);
    const auto backend = gpu();
    if (!backend || !backend->supports(Op::linear, dtype)) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    const Layer layer(*backend, dtype);
    layer.run(ctx);
    const auto before = bytes_of(*backend, layer.result);

    const auto recording = backend->record([&] { layer.run(ctx); });
    const Tensor nan = Tensor::host(layer.result.shape());
    std::memset(nan.view.data, 0xFF, nan.view.bytes());
    backend->copy(nan, layer.result);
    CHECK(bytes_of(*backend, layer.result) == bytes_of(*backend, nan));  // recording it did not run it
    for (int i = 0; i < 3; ++i) recording->replay();
    CHECK(bytes_of(*backend, layer.result) == before);

    backend->copy(layer.scale, layer.shift);
    recording->replay();
    const auto replayed = bytes_of(*backend, layer.result);
    CHECK(replayed != before);
    layer.run(ctx);
    CHECK(bytes_of(*backend, layer.result) == replayed);
}

TEST_CASE("a recording survives a larger one made after it") {
    const auto backend = gpu();
    if (!backend) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    PreparedOp tensors(*backend, DType::f32, Fill::reals);
    const PackedWeight* weight = tensors.linear_weight(100, 100);  // widths that need scratch for their padding
    const TensorView small = tensors.input({3, 100}, DType::f32), large = tensors.input({5000, 100}, DType::f32);
    const Tensor small_out = allocate(*backend, {3, 100}), large_out = allocate(*backend, {5000, 100});
    const auto product = [&](const TensorView& x, const TensorView& out) {
        ops::linear(ctx, {.x = x, .weight = weight, .bias = {}, .gate = {}, .residual = {}, .out = out});
    };
    product(small, small_out);
    const auto expected = bytes_of(*backend, small_out);
    const auto first = backend->record([&] { product(small, small_out); });
    product(large, large_out);
    const auto second = backend->record([&] { product(large, large_out); });
    second->replay();
    first->replay();
    CHECK(bytes_of(*backend, small_out) == expected);
    CHECK(bytes_of(*backend, large_out.view.slice(0, 1)).size() == 400);
}

TEST_CASE("a planned convolution is recorded like any other operation") {
    const DType dtype = GENERATE(DType::f32, DType::bf16);
    const bool fast_math = GENERATE(false, true);
    const auto backend = gpu(fast_math);
    if (!backend || !backend->supports(Op::conv2d, dtype)) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    PreparedOp tensors(*backend, dtype, Fill::reals);
    // Channels that are padded, sides that are padded differently, a residual that is added in place, no bias.
    const TensorView x = tensors.input({2, 16, 16, 12}, dtype), bias = tensors.input({20}, DType::f32);
    const PackedWeight *first = tensors.conv2d_weight({20, 12, 3, 3}, {.stride = 2, .upsample = false}),
                       *second = tensors.conv2d_weight({20, 20, 3, 3}), *third = tensors.conv2d_weight({4, 20, 1, 1});
    const Tensor middle = allocate(*backend, {2, 8, 8, 20}, dtype), sum = allocate(*backend, {2, 8, 8, 20}, dtype),
                 out = allocate(*backend, {2, 8, 8, 4}, dtype);
    const auto step = [&] {
        ops::conv2d(ctx, {.x = x,
                          .weight = first,
                          .bias = bias,
                          .stride = 2,
                          .padding = {0, 0, 1, 1},
                          .activation = Activation::relu,
                          .residual = {},
                          .out = middle});
        backend->copy(middle, sum);
        ops::conv2d(ctx, {.x = middle, .weight = second, .bias = bias, .padding = {1, 1, 1, 1}, .residual = sum, .out = sum});
        ops::conv2d(ctx, {.x = sum, .weight = third, .bias = {}, .residual = {}, .out = out});
    };
    CHECK_THROWS_WITH(backend->record(step), Catch::Contains("within a recording"));
    step();
    const auto planned = bytes_of(*backend, out);
    const auto recording = backend->record(step);
    // Larger ones after it, so that scratch grows.
    const TensorView large = tensors.input({8, 48, 48, 12}, dtype);
    const Tensor large_out = allocate(*backend, {8, 24, 24, 20}, dtype);
    ops::conv2d(
        ctx, {.x = large, .weight = first, .bias = bias, .stride = 2, .padding = {0, 0, 1, 1}, .residual = {}, .out = large_out});
    recording->replay();
    CHECK(bytes_of(*backend, out) == planned);
    for (const float amplitude : {0.5F, 2.0F}) {
        backend->copy(tensors.input(x.shape, dtype, amplitude), x);
        recording->replay();
        const auto replayed = bytes_of(*backend, out);
        CHECK(replayed != planned);
        step();
        CHECK(bytes_of(*backend, out) == replayed);
    }
}

TEST_CASE("a recording copies from staging memory what is there at each replay") {
    const auto backend = gpu();
    if (!backend) return;
    const Tensor there = allocate(*backend, {1000}), staging = allocate_staging(*backend, {1000}),
                 pageable = Tensor::host({1000});
    CHECK_THROWS_WITH(backend->record([&] { backend->copy(pageable, there); }), Catch::Contains("pageable"));
    const auto recording = backend->record([&] { backend->copy(staging, there); });
    for (const float value : {1.0F, -7.5F}) {
        for (float& v : staging.as<float>()) v = value;
        recording->replay();
        CHECK(bytes_of(*backend, there) == bytes_of(*backend, staging));
    }
}

TEST_CASE("what a recording cannot hold is refused, and the backend goes on") {
    const auto backend = gpu();
    if (!backend) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    PreparedOp tensors(*backend, DType::f32, Fill::reals);
    const TensorView x = tensors.input({8, 64}, DType::f32);
    const Tensor host = Tensor::host(x.shape), out = allocate(*backend, x.shape);
    CHECK_THROWS_AS(backend->record([&] { backend->copy(x, host); }), std::logic_error);
    CHECK_THROWS_AS(backend->record([&] { static_cast<void>(backend->allocate(16)); }), std::logic_error);
    CHECK_THROWS_AS(backend->record([&] { static_cast<void>(backend->fence()); }), std::logic_error);
    const PackedWeight* weight = tensors.linear_weight(32, 64);
    const Tensor product = allocate(*backend, {8, 32});
    CHECK_THROWS_WITH(backend->record([&] {
        ops::linear(ctx, {.x = x, .weight = weight, .bias = {}, .gate = {}, .residual = {}, .out = product});
    }),
                      Catch::Contains("linear") && Catch::Contains("within a recording"));
    const auto recording = backend->record([&] { ops::unary(ctx, Unary::relu, x, out); });
    recording->replay();
    const auto once = bytes_of(*backend, out);
    ops::unary(ctx, Unary::relu, x, out);
    CHECK(bytes_of(*backend, out) == once);
}

TEST_CASE("copies of any size arrive whole") {
    const auto backend = gpu();
    if (!backend) return;
    for (const std::size_t bytes :
         {std::size_t{1}, std::size_t{3}, std::size_t{4} << 20, (std::size_t{4} << 20) + 1, std::size_t{33} << 20}) {
        auto from = pattern(bytes, 7);
        std::vector<std::byte> back(bytes);
        const Tensor there = upload(*backend, view_of(from)), copy = allocate(*backend, there.shape(), DType::u8);
        from.assign(bytes, std::byte{0});  // the caller's memory is free at once
        backend->copy(there, copy);
        backend->copy(copy, view_of(back));
        CHECK(back == pattern(bytes, 7));
    }
}

TEST_CASE("a queued copy holds what was there when it was queued, once its fence is done") {
    const auto backend = gpu();
    if (!backend) return;
    constexpr std::size_t bytes = std::size_t{24} << 20;
    const auto shape = Shape{static_cast<std::int64_t>(bytes)};
    const Tensor there = allocate(*backend, shape, DType::u8);
    std::vector<Tensor> staged;
    std::vector<Fence> fences;
    for (unsigned i = 0; i < 9; ++i) {
        auto values = pattern(bytes, i);
        backend->copy(view_of(values), there);
        staged.push_back(allocate_staging(*backend, shape, DType::u8));
        backend->copy_queued(there, staged.back());
        fences.push_back(backend->fence());
    }
    for (const unsigned i : {3U, 0U, 8U, 5U}) {  // in any order, also again
        backend->wait(fences[i]);
        const auto expected = pattern(bytes, i);
        CHECK(std::memcmp(staged[i].view.data, expected.data(), bytes) == 0);
    }
    backend->wait(0);
    backend->wait(fences.back());
}

TEST_CASE("out of memory says how much was needed and how much there is, and is no end") {
    const auto backend = gpu();
    if (!backend) return;
    const auto memory = backend->memory();
    CHECK(memory.total > 0);
    CHECK(memory.free <= memory.total);
    const std::size_t too_much = memory.total + (std::size_t{1} << 30);
    const std::string message = message_of(ErrorCode::resource, [&] { static_cast<void>(backend->allocate(too_much)); });
    for (const char* part : {"out of memory", "MiB needed", "free"}) CHECK(contains(message, part));
    CHECK_FALSE(contains(message, "\n"));
    // What can be taken is given back and can be taken again.
    for (int i = 0; i < 3; ++i) {
        const Buffer most = backend->allocate(memory.free / 2);
        CHECK(most.data() != nullptr);
    }
    auto values = pattern(1000, 1);
    CHECK(bytes_of(*backend, upload(*backend, view_of(values))) == values);
}

TEST_CASE("rows of the products of a large model do not depend on how many there are") {
    struct Case {
        std::int64_t n, k;
        DType dtype, out;
        Activation activation;
    };
    const auto c = GENERATE(values<Case>({{3456, 1152, DType::bf16, DType::bf16, Activation::none},
                                          {4608, 1152, DType::bf16, DType::bf16, Activation::gelu_tanh},
                                          {1152, 4608, DType::bf16, DType::f32, Activation::none},
                                          {32, 1152, DType::bf16, DType::f32, Activation::none},
                                          {1152, 1152, DType::f32, DType::f32, Activation::gelu_tanh}}));
    const auto backend = gpu();
    if (!backend || !backend->supports(Op::linear, c.dtype)) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    for (const Fill fill : {Fill::integers, Fill::reals}) {  // biases that bf16 holds, and that it does not
        PreparedOp tensors(*backend, c.dtype, fill);
        const std::int64_t rows = 16384;
        const TensorView x = tensors.input({rows, c.k}, c.dtype), bias = tensors.input({c.n}, DType::f32);
        const PackedWeight* weight = tensors.linear_weight(c.n, c.k);
        const auto product = [&](std::int64_t begin, std::int64_t count) {
            const Tensor out = allocate(*backend, {count, c.n}, c.out);
            ops::linear(ctx, {.x = x.slice(begin, count),
                              .weight = weight,
                              .bias = bias,
                              .activation = c.activation,
                              .gate = {},
                              .residual = {},
                              .out = out});
            return bytes_of(*backend, out);
        };
        const auto whole = product(0, rows);
        const auto row_bytes = static_cast<std::size_t>(c.n) * size_of(c.out);
        for (const std::int64_t count : {1, 2, 77, 256, 512, 8192})
            for (const std::int64_t begin : {std::int64_t{0}, std::int64_t{1001}, rows - count}) {
                if (begin + count > rows) continue;
                INFO(c.n << " x " << c.k << ", " << count << " rows from " << begin);
                CHECK(std::memcmp(product(begin, count).data(), whole.data() + static_cast<std::size_t>(begin) * row_bytes,
                                  static_cast<std::size_t>(count) * row_bytes) == 0);
            }
    }
}

TEST_CASE("a weight packs to the same product from every dtype that holds its numbers") {
    const auto backend = gpu();
    if (!backend || !backend->supports(Op::linear, DType::bf16)) return;
    Arena scratch = arena_of(*backend);
    const ExecContext ctx{*backend, scratch, nullptr};
    PreparedOp tensors(*backend, DType::bf16, Fill::integers);
    const std::vector<float> numbers = tensors.numbers(24 * 40);
    const Tensor f32 = Tensor::from(numbers, {24, 40});
    std::vector<std::byte> shifted(2 * numbers.size() + 1);  // unaligned, as in a mapped file
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const bf16 value = to_bf16(numbers[i]);
        std::memcpy(shifted.data() + 1 + 2 * i, &value, 2);
    }
    const TensorView unaligned{shifted.data() + 1, DType::bf16, Device::host, {24, 40}};
    const TensorView x = tensors.input({5, 40}, DType::bf16);
    const auto product = [&](const TensorView& source) {
        const auto weight = ops::pack_linear(*backend, source, DType::bf16);
        const Tensor out = allocate(*backend, {5, 24});
        ops::linear(ctx, {.x = x, .weight = weight.get(), .bias = {}, .gate = {}, .residual = {}, .out = out});
        return bytes_of(*backend, out);
    };
    CHECK(product(f32) == product(unaligned));
}
