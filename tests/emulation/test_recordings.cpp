// The rules of Backend::record on the emulated GPU: what a CUDA graph would refuse, or replay wrongly, is refused by name.
#include <array>
#include <cstring>
#include <stdexcept>

#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/fixture.h"
#include "t2i/pipeline.h"
#include "workloads/prepared_op.h"

using namespace t2i;

namespace {

std::vector<std::byte> bytes_of(Backend& backend, const TensorView& t) {
    const Tensor host = Tensor::host(t.shape, t.dtype);
    backend.copy(t, host);
    const auto* bytes = static_cast<const std::byte*>(host.view.data);
    return {bytes, bytes + t.bytes()};
}

// What U-ViT ends a step with, in small: a product, patches put together, a convolution in the middle of a picture that is
// normed and doubled first (by ops::conv2d, in scratch), and one with a residual.
struct Step {
    Step(Backend& backend, DType dtype)
        : tensors(backend, dtype, Fill::reals),
          x(tensors.input({16, 24}, dtype)),
          bias(tensors.input({32}, DType::f32)),
          product_weight(tensors.linear_weight(32, 24)),
          norm_weight(tensors.input({8}, DType::f32)),
          norm_bias(tensors.input({8}, DType::f32)),
          wide_bias(tensors.input({8}, DType::f32)),
          wide_weight(tensors.conv2d_weight({8, 8, 3, 3}, {.stride = 1, .upsample = true})),
          last_bias(tensors.input({8}, DType::f32)),
          last_weight(tensors.conv2d_weight({8, 8, 3, 3})),
          tokens(allocate(backend, {16, 32})),
          latents(allocate(backend, {1, 8, 8, 8})),
          picture(allocate(backend, {1, 8, 8, 8}, dtype)),
          wide(allocate(backend, {1, 16, 16, 8}, dtype)),
          result(allocate(backend, {1, 16, 16, 8}, dtype)) {}

    void run(const ExecContext& ctx) const {
        ops::linear(ctx, {.x = x, .weight = product_weight, .bias = bias, .gate = {}, .residual = {}, .out = tokens});
        ops::unpatchify(ctx, tokens, 2, latents);
        ops::to_channels_last(ctx, latents, picture);
        const InputNorm norm{.weight = norm_weight, .bias = norm_bias, .groups = 4, .activation = Activation::silu};
        ops::conv2d(ctx, {.x = picture,
                          .norm = norm,
                          .upsample = true,
                          .weight = wide_weight,
                          .bias = wide_bias,
                          .padding = {1, 1, 1, 1},
                          .residual = {},
                          .out = wide});
        ops::conv2d(ctx, {.x = wide,
                          .weight = last_weight,
                          .bias = last_bias,
                          .padding = {1, 1, 1, 1},
                          .activation = Activation::relu,
                          .residual = wide,
                          .out = result});
    }

    PreparedOp tensors;
    TensorView x, bias;
    const PackedWeight* product_weight;
    TensorView norm_weight, norm_bias, wide_bias;
    const PackedWeight* wide_weight;
    TensorView last_bias;
    const PackedWeight* last_weight;
    Tensor tokens, latents, picture, wide, result;
};

// A backend, and tensors to call operations with.
struct Fixture {
    explicit Fixture(const char* name = "emulated", DType dtype = DType::f32)
        : machine(name), backend(*machine.backend), ctx(machine.ctx()), step(backend, dtype) {}
    test::Machine machine;
    Backend& backend;
    ExecContext ctx;
    Step step;

    // The message of what refuses `work` within a recording. The backend can be used on.
    std::string refusal(const std::function<void()>& work) {
        std::string message = "not refused";
        try {
            static_cast<void>(backend.record(work));
        } catch (const std::logic_error& problem) {
            message = problem.what();
        }
        const Tensor before = allocate(backend, {4}), after = allocate(backend, {4});
        backend.copy(Tensor::from(std::array{-1.0F, 0.0F, 1.0F, 2.0F}, {4}), before);
        ops::unary(ctx, Unary::relu, before, after);
        const auto expected = std::array{0.0F, 0.0F, 1.0F, 2.0F};
        CHECK(std::memcmp(bytes_of(backend, after).data(), expected.data(), sizeof expected) == 0);
        return message;
    }
};

const char* const within = "within a recording";

}  // namespace

TEST_CASE("a recorded step that ends with a convolution replays as the step itself, for new inputs too") {
    const DType dtype = GENERATE(DType::f32, DType::bf16);
    for (const char* name : {"emulated", "emulated:reverse", "emulated:5"}) {
        INFO(name);
        Fixture f(name, dtype);
        const Step& step = f.step;
        step.run(f.ctx);  // the plan
        const auto planned = bytes_of(f.backend, step.result);

        const Tensor nan = Tensor::host(step.result.shape(), dtype);
        std::memset(nan.view.data, 0xFF, nan.view.bytes());
        f.backend.copy(nan, step.result);
        int calls = 0;
        const auto recording = f.backend.record([&] {
            ++calls;
            step.run(f.ctx);
        });
        CHECK(bytes_of(f.backend, step.result) == bytes_of(f.backend, nan));  // recording it did not run it
        recording->replay();
        CHECK(bytes_of(f.backend, step.result) == planned);

        std::vector<std::byte> previous = planned;
        for (const float amplitude : {0.5F, 3.0F}) {
            const TensorView changed = f.step.tensors.input(step.x.shape, dtype, amplitude);
            f.backend.copy(changed, step.x);
            recording->replay();
            const auto replayed = bytes_of(f.backend, step.result);
            CHECK(replayed != previous);
            f.backend.copy(nan, step.result);
            step.run(f.ctx);
            CHECK(bytes_of(f.backend, step.result) == replayed);
            previous = replayed;
        }
        CHECK(calls == 1);  // a graph knows nothing of the function any more
    }
}

TEST_CASE("a recording is refused an operation that has no plan, by its name") {
    Fixture f;
    const Step& step = f.step;
    const auto convolve = [&](const TensorView& x, const TensorView& out, const TensorView& bias) {
        ops::conv2d(f.ctx,
                    {.x = x, .weight = step.last_weight, .bias = bias, .padding = {1, 1, 1, 1}, .residual = {}, .out = out});
    };
    const auto multiply = [&](const TensorView& x, const TensorView& out) {
        ops::linear(f.ctx, {.x = x, .weight = step.product_weight, .bias = {}, .gate = {}, .residual = {}, .out = out});
    };
    const Tensor qkv = allocate(f.backend, {8, 48}), mixed = allocate(f.backend, {8, 16});
    const auto attend = [&](std::int64_t heads) {
        ops::attention(f.ctx, {.q = {qkv, 0, 16},
                               .k = {qkv, 16, 16},
                               .v = {qkv, 32, 16},
                               .heads = heads,
                               .scale = 0.25F,
                               .bias = {},
                               .key_lengths = {},
                               .out = mixed});
    };
    const std::string conv2d = f.refusal([&] { convolve(step.wide, step.result, step.last_bias); });
    CHECK_THAT(conv2d, Catch::StartsWith("conv2d of [1, 16, 16, 8] f32 with [8, 8, 3, 3]") && Catch::Contains(within));
    CHECK_THAT(f.refusal([&] { multiply(step.x, step.tokens); }),
               Catch::StartsWith("linear of [16, 24] f32 with [32, 24]") && Catch::Contains(within));
    CHECK_THAT(f.refusal([&] { attend(2); }), Catch::StartsWith("attention of [8, 48] f32") && Catch::Contains(within));

    // A plan is for its shapes and its bias.
    convolve(step.wide, step.result, step.last_bias);
    multiply(step.x, step.tokens);
    attend(2);
    static_cast<void>(f.backend.record([&] {
        convolve(step.wide, step.result, step.last_bias);
        multiply(step.x, step.tokens);
        attend(2);
    }));
    CHECK_THAT(f.refusal([&] { convolve(step.wide, step.result, step.wide_bias); }), Catch::StartsWith("conv2d of"));
    const Tensor small = allocate(f.backend, {1, 8, 8, 8});
    CHECK_THAT(f.refusal([&] { convolve(step.picture, small, step.last_bias); }), Catch::StartsWith("conv2d of [1, 8, 8, 8]"));
    CHECK_THAT(f.refusal([&] { multiply(step.x.slice(0, 8), step.tokens.view.slice(0, 8)); }),
               Catch::StartsWith("linear of [8, 24]"));
    CHECK_THAT(f.refusal([&] { attend(4); }), Catch::Contains("heads 4"));
}

TEST_CASE("a recording is refused memory, its own and that of an arena or an operation") {
    Fixture f;
    CHECK_THAT(f.refusal([&] { static_cast<void>(f.backend.allocate(100)); }),
               Catch::StartsWith("allocate of 100 bytes within a recording"));
    CHECK_THAT(f.refusal([&] { static_cast<void>(f.backend.allocate_staging(100)); }),
               Catch::StartsWith("allocate of 100 bytes within a recording"));
    CHECK_THAT(f.refusal([&] { static_cast<void>(f.ctx.scratch.take({100})); }), Catch::StartsWith("allocate of "));
    CHECK_THAT(f.refusal([&] { static_cast<void>(ops::pack_linear(f.backend, Tensor::host({8, 8}), DType::f32)); }),
               Catch::StartsWith("pack_linear within a recording"));
    CHECK_THAT(f.refusal([&] { static_cast<void>(ops::pack_conv2d(f.backend, Tensor::host({8, 8, 1, 1}), DType::f32, {})); }),
               Catch::StartsWith("pack_conv2d within a recording"));
    Tensor old = allocate(f.backend, {4});
    CHECK_THAT(f.refusal([&] { old = {}; }), Catch::StartsWith("giving memory back within a recording"));

    // Scratch of an operation without a plan of its own: as much as there was before.
    const TensorView x = f.step.tensors.input({2, 8, 8, 8}, DType::f32);
    const Tensor out = allocate(f.backend, x.shape);
    const auto norm = [&] {
        GroupNormArgs a;
        a.x = x;
        a.weight = f.step.norm_weight;
        a.bias = f.step.norm_bias;
        a.groups = 4;
        a.out = out;
        ops::group_norm(f.ctx, a);
    };
    CHECK_THAT(f.refusal(norm), Catch::StartsWith("allocate of "));
    norm();
    const auto expected = bytes_of(f.backend, out);
    const auto recording = f.backend.record(norm);
    f.backend.copy(x, out);
    recording->replay();
    CHECK(bytes_of(f.backend, out) == expected);
}

TEST_CASE("a recording can neither read from the host's side nor wait") {
    Fixture f;
    const Tensor there = allocate(f.backend, {8}), host = Tensor::host({8}), staging = allocate_staging(f.backend, {8});
    CHECK_THAT(f.refusal([&] { f.backend.copy(there, host); }), Catch::StartsWith("copy to the host of 32 bytes within"));
    CHECK_THAT(f.refusal([&] { f.backend.copy_queued(there, staging); }),
               Catch::StartsWith("copy to the host of 32 bytes within"));
    CHECK_THAT(f.refusal([&] { static_cast<void>(f.backend.fence()); }), Catch::StartsWith("fence within a recording"));
    CHECK_THAT(f.refusal([&] { f.backend.wait(0); }), Catch::StartsWith("wait within a recording"));
    CHECK_THAT(f.refusal([&] { static_cast<void>(f.backend.record([] {})); }), Catch::StartsWith("record within a recording"));
    const auto empty = f.backend.record([] {});
    CHECK_THAT(f.refusal([&] { empty->replay(); }), Catch::StartsWith("replay within a recording"));
}

TEST_CASE("a recording copies from staging memory what is there at each replay, and not from pageable memory") {
    Fixture f;
    const Tensor there = allocate(f.backend, {8}), host = Tensor::host({8}), copied = allocate(f.backend, {4});
    Tensor staging = allocate_staging(f.backend, {8});
    CHECK_THAT(f.refusal([&] { f.backend.copy(host, there); }),
               Catch::StartsWith("copy from pageable host memory of 32 bytes within a recording"));
    TensorView beyond = staging;
    beyond.shape = {9};
    const Tensor larger = allocate(f.backend, {9});
    CHECK_THAT(f.refusal([&] { f.backend.copy(beyond, larger); }), Catch::StartsWith("copy from pageable host memory"));

    const auto recording = f.backend.record([&] {
        f.backend.copy(staging, there);
        f.backend.copy(there.view.slice(4, 4), copied);
    });
    for (const float value : {1.0F, -7.5F}) {
        for (float& v : staging.as<float>()) v = value;
        recording->replay();
        CHECK(bytes_of(f.backend, there) == bytes_of(f.backend, staging));
        CHECK(bytes_of(f.backend, copied) == bytes_of(f.backend, staging.view.slice(0, 4)));
    }
    staging = {};
    CHECK_THROWS_WITH(recording->replay(), Catch::Contains("staging memory of a recorded copy is gone"));
}

TEST_CASE("a pipeline records its steps once and replays them for other seeds and texts") {
    const auto manifest = test::read_manifest("pipeline");
    const test::TempFolder folder;
    test::write_pipeline(manifest.at("cases").front().at("pipeline"), folder.path());
    PipelineOptions options;
    options.model = folder.path().string();
    options.device = "emulated";
    options.dtype = "f32";
    const auto draw = [](Pipeline& pipeline, std::uint64_t seed, const char* prompt) {
        GenerateRequest request;
        request.prompt = prompt;
        request.seed = seed;
        request.steps = 2;
        request.sampler = "euler_a";  // draws noise: a copy from the host between recordings
        request.width = request.height = 32;
        return pipeline.generate(request).front().rgb;
    };
    auto first = Pipeline::load(options), second = Pipeline::load(options);
    const auto apple = draw(first, 7, "a red apple"), cat = draw(first, 8, "a cat");
    CHECK(apple != cat);
    CHECK(draw(second, 8, "a cat") == cat);  // recorded for it, not for another before
}
