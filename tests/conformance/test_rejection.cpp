// ops:: refuses what a backend must not be asked: one broken promise at a time, from a call that is otherwise
// right.
#include "backend/registry.h"
#include "ops/ops.h"
#include "support/catch.h"

using namespace t2i;

namespace {

struct Fixture {
    std::unique_ptr<Backend> backend = make_backend("ref");
    Arena scratch{[](std::size_t bytes) { return Buffer::host(bytes); }};
    ExecContext ctx{*backend, scratch, nullptr};
    std::vector<Tensor> tensors;

    TensorView make(Shape shape, DType dtype = DType::f32) { return tensors.emplace_back(Tensor::host(shape, dtype)).view; }
    TensorView integers(const std::vector<std::int32_t>& values) {
        const TensorView t = make({static_cast<std::int64_t>(values.size())}, DType::i32);
        std::ranges::copy(values, t.as<std::int32_t>().begin());
        return t;
    }
};

// The call is accepted as it is, and refused after each change.
template <typename Args, typename Call>
void check_rejections(const Args& good, Call call, std::initializer_list<void (*)(Args&, Fixture&)> changes, Fixture& f) {
    REQUIRE_NOTHROW(call(good));
    int i = 0;
    for (const auto change : changes) {
        INFO("change " << i++);
        Args bad = good;
        change(bad, f);
        CHECK_THROWS_AS(call(bad), std::logic_error);
    }
}

}  // namespace

TEST_CASE("linear rejects bad arguments") {
    Fixture f;
    const auto weight = ops::pack_linear(*f.backend, f.make({3, 4}), DType::f32);
    const LinearArgs good{.x = f.make({6, 4}),
                          .weight = weight.get(),
                          .bias = f.make({3}),
                          .activation = Activation::none,
                          .gate = f.make({2, 3}),
                          .residual = f.make({3, 3}),
                          .out = f.make({6, 3})};
    check_rejections<LinearArgs>(
        good, [&](const LinearArgs& a) { ops::linear(f.ctx, a); },
        {[](LinearArgs& a, Fixture&) { a.weight = nullptr; }, [](LinearArgs& a, Fixture&) { a.x.data = nullptr; },
         [](LinearArgs& a, Fixture& g) { a.x = g.make({6, 5}); },
         [](LinearArgs& a, Fixture& g) { a.x = g.make({6, 4}, DType::bf16); },
         [](LinearArgs& a, Fixture& g) { a.bias = g.make({4}); },
         [](LinearArgs& a, Fixture& g) { a.bias = g.make({3}, DType::bf16); },
         [](LinearArgs& a, Fixture& g) { a.gate = g.make({4, 3}); },
         [](LinearArgs& a, Fixture& g) { a.residual = g.make({4, 3}); },
         [](LinearArgs& a, Fixture& g) { a.residual = g.make({3, 4}); },
         [](LinearArgs& a, Fixture& g) { a.out = g.make({5, 3}); },
         [](LinearArgs& a, Fixture& g) { a.out = g.make({6, 3}, DType::bf16); },
         [](LinearArgs& a, Fixture&) { a.out = a.x.reshaped({8, 3}).slice(0, 6); },
         [](LinearArgs& a, Fixture&) { a.residual = a.out.slice(1, 3); }},
        f);
}

TEST_CASE("attention rejects bad arguments") {
    Fixture f;
    const AttentionArgs good{.q = Columns::all(f.make({4, 6})),
                             .k = Columns::all(f.make({6, 6})),
                             .v = Columns::all(f.make({6, 6})),
                             .batch = 2,
                             .heads = 3,
                             .bias = f.make({3, 2, 3}),
                             .key_lengths = f.integers({3, 1}),
                             .out = f.make({4, 6})};
    check_rejections<AttentionArgs>(
        good, [&](const AttentionArgs& a) { ops::attention(f.ctx, a); },
        {[](AttentionArgs& a, Fixture&) { a.batch = 3; }, [](AttentionArgs& a, Fixture&) { a.batch = 0; },
         [](AttentionArgs& a, Fixture&) { a.heads = 4; }, [](AttentionArgs& a, Fixture&) { a.q.begin = 1; },
         [](AttentionArgs& a, Fixture&) { a.k.begin = -1; }, [](AttentionArgs& a, Fixture&) { a.v.width = 3; },
         [](AttentionArgs& a, Fixture& g) { a.v = Columns::all(g.make({4, 6})); },
         [](AttentionArgs& a, Fixture& g) { a.k = Columns::all(g.make({6, 6}, DType::bf16)); },
         [](AttentionArgs& a, Fixture& g) { a.bias = g.make({3, 3, 2}); },
         [](AttentionArgs& a, Fixture& g) { a.key_lengths = g.integers({4, 1}); },
         [](AttentionArgs& a, Fixture& g) { a.key_lengths = g.integers({0, 1}); },
         [](AttentionArgs& a, Fixture& g) { a.key_lengths = g.integers({1}); },
         [](AttentionArgs& a, Fixture& g) { a.key_lengths = g.make({2}); },
         [](AttentionArgs& a, Fixture&) { a.out = a.q.matrix; }, [](AttentionArgs& a, Fixture& g) { a.out = g.make({4, 5}); }},
        f);
}

TEST_CASE("conv2d rejects bad arguments") {
    Fixture f;
    const auto weight = ops::pack_conv2d(*f.backend, f.make({5, 2, 3, 3}), DType::f32);
    const Conv2dArgs good{.x = f.make({1, 4, 4, 2}),
                          .weight = weight.get(),
                          .bias = f.make({5}),
                          .stride = 1,
                          .padding = {1, 1, 1, 1},
                          .activation = Activation::relu,
                          .residual = f.make({1, 4, 4, 5}),
                          .out = f.make({1, 4, 4, 5})};
    check_rejections<Conv2dArgs>(
        good, [&](const Conv2dArgs& a) { ops::conv2d(f.ctx, a); },
        {[](Conv2dArgs& a, Fixture&) { a.weight = nullptr; }, [](Conv2dArgs& a, Fixture& g) { a.x = g.make({1, 4, 4, 3}); },
         [](Conv2dArgs& a, Fixture& g) { a.x = g.make({4, 4, 2}); }, [](Conv2dArgs& a, Fixture&) { a.stride = 0; },
         [](Conv2dArgs& a, Fixture&) { a.stride = 2; }, [](Conv2dArgs& a, Fixture&) { a.padding = {-1, 1, 3, 1}; },
         [](Conv2dArgs& a, Fixture& g) { a.x = g.make({1, 1, 1, 2}), a.padding = {}; },
         [](Conv2dArgs& a, Fixture&) { a.activation = Activation::silu; },
         [](Conv2dArgs& a, Fixture& g) { a.bias = g.make({2}); }, [](Conv2dArgs& a, Fixture&) { a.upsample = true; },
         [](Conv2dArgs& a, Fixture& g) { a.norm = {.weight = g.make({2}), .bias = g.make({2}), .groups = 3}; },
         [](Conv2dArgs& a, Fixture& g) { a.norm = {.weight = g.make({3}), .bias = g.make({2}), .groups = 1}; },
         [](Conv2dArgs& a, Fixture& g) {
             a.norm = {.weight = g.make({2}), .bias = g.make({2}), .groups = 1, .activation = Activation::relu};
         },
         [](Conv2dArgs& a, Fixture& g) { a.residual = g.make({1, 4, 4, 4}); },
         [](Conv2dArgs& a, Fixture& g) { a.out = g.make({1, 4, 4, 5}, DType::bf16); }},
        f);
}

TEST_CASE("norms reject bad arguments") {
    Fixture f;
    const NormModulateArgs good{
        .x = f.make({6, 4}), .shift = f.make({2, 4}), .scale = f.make({2, 4}), .eps = 1e-6F, .out = f.make({6, 4})};
    check_rejections<NormModulateArgs>(
        good, [&](const NormModulateArgs& a) { ops::norm_modulate(f.ctx, a); },
        {[](NormModulateArgs& a, Fixture& g) { a.shift = g.make({4, 4}); },
         [](NormModulateArgs& a, Fixture& g) { a.shift = g.make({3, 4}); },
         [](NormModulateArgs& a, Fixture& g) { a.scale = g.make({2, 3}); },
         [](NormModulateArgs& a, Fixture& g) { a.x = g.make({6, 4}, DType::bf16); },
         [](NormModulateArgs& a, Fixture& g) { a.out = g.make({6, 5}); }},
        f);
    const GroupNormArgs group{.x = f.make({1, 2, 2, 4}),
                              .weight = f.make({4}),
                              .bias = f.make({4}),
                              .groups = 2,
                              .eps = 1e-6F,
                              .activation = Activation::silu,
                              .out = f.make({1, 2, 2, 4})};
    check_rejections<GroupNormArgs>(
        group, [&](const GroupNormArgs& a) { ops::group_norm(f.ctx, a); },
        {[](GroupNormArgs& a, Fixture&) { a.groups = 3; }, [](GroupNormArgs& a, Fixture&) { a.groups = 0; },
         [](GroupNormArgs& a, Fixture&) { a.activation = Activation::relu; },
         [](GroupNormArgs& a, Fixture& g) { a.weight = g.make({3}); },
         [](GroupNormArgs& a, Fixture& g) { a.out = g.make({1, 2, 2, 4}, DType::bf16); },
         [](GroupNormArgs& a, Fixture&) { a.x = a.x.reshaped({2, 2, 4}); }},
        f);
    CHECK_THROWS_AS(ops::rms_norm(f.ctx, f.make({2, 4}), f.make({3}), 1e-6F, f.make({2, 4})), std::logic_error);
    CHECK_THROWS_AS(ops::rms_norm(f.ctx, f.make({2, 4}), f.make({4}), 1e-6F, f.make({4, 2})), std::logic_error);
}

TEST_CASE("residual_norm rejects bad arguments") {
    Fixture f;
    const ResidualNormArgs good{.y = f.make({6, 4}, DType::bf16),
                                .gate = f.make({2, 4}),
                                .stream = f.make({6, 4}),
                                .shift = f.make({3, 4}),
                                .scale = f.make({3, 4}),
                                .out = f.make({6, 4}, DType::bf16)};
    check_rejections<ResidualNormArgs>(
        good, [&](const ResidualNormArgs& a) { ops::residual_norm(f.ctx, a); },
        {[](ResidualNormArgs& a, Fixture& g) { a.y = g.make({6, 5}); },
         [](ResidualNormArgs& a, Fixture& g) { a.stream = g.make({6, 4}, DType::bf16); },
         [](ResidualNormArgs& a, Fixture& g) { a.gate = g.make({4, 4}); }, [](ResidualNormArgs& a, Fixture&) { a.shift.reset(); },
         [](ResidualNormArgs& a, Fixture& g) { a.scale = g.make({2, 4}); },
         [](ResidualNormArgs& a, Fixture& g) { a.out = g.make({5, 4}); }, [](ResidualNormArgs& a, Fixture&) { a.out = a.stream; },
         [](ResidualNormArgs& a, Fixture&) { a.y = a.stream; }},
        f);
}

TEST_CASE("sampler_update rejects bad arguments") {
    Fixture f;
    const TensorView x = f.make({4}), x0 = f.make({4}), model = f.make({4}), wrong = f.make({5});
    const std::vector<LincombTerm> to_x0{{1.0, x}, {0.5, model}}, to_x{{1.0, x}, {0.5, x0}}, bad{{1.0, wrong}}, own{{1.0, x0}};
    const SamplerUpdateArgs good{
        .x0_terms = to_x0, .x0 = x0, .x_terms = to_x, .x = x, .inputs = f.make({2, 4}), .first_bad = f.integers({9})};
    const auto rejects = [&](auto change) {
        SamplerUpdateArgs a = good;
        change(a);
        CHECK_THROWS_AS(ops::sampler_update(f.ctx, a), std::logic_error);
    };
    REQUIRE_NOTHROW(ops::sampler_update(f.ctx, good));
    rejects([&](SamplerUpdateArgs& a) { a.x0_terms = bad; });
    rejects([&](SamplerUpdateArgs& a) { a.x0_terms = own; });
    rejects([&](SamplerUpdateArgs& a) { a.x_terms = {}; });
    rejects([&](SamplerUpdateArgs& a) { a.x0 = x; });
    rejects([&](SamplerUpdateArgs& a) { a.inputs = f.make({5}); });
    rejects([&](SamplerUpdateArgs& a) { a.inputs = model; });
    rejects([&](SamplerUpdateArgs& a) { a.first_bad = f.make({1}); });
}

TEST_CASE("the other operations reject bad arguments") {
    Fixture f;
    const auto rejects = [](auto call) { CHECK_THROWS_AS(call(), std::logic_error); };
    rejects([&] { ops::upsample2x(f.ctx, f.make({1, 2, 2, 3}), f.make({1, 4, 4, 2})); });
    rejects([&] { ops::unary(f.ctx, Unary::silu, f.make({4}), f.make({5})); });
    rejects([&] { ops::unary(f.ctx, Unary::silu, f.make({4}), f.make({4}, DType::bf16)); });
    rejects([&] { ops::unary(f.ctx, Unary::silu, f.make({4}, DType::i32), f.make({4}, DType::i32)); });
    rejects([&] { ops::unary(f.ctx, Unary::silu, f.make({0}), f.make({0})); });
    rejects([&] { ops::gated_gelu(f.ctx, f.make({2, 4}), f.make({2, 4})); });
    rejects([&] { ops::lincomb(f.ctx, {}, f.make({4})); });
    const std::vector<LincombTerm> terms{{1.0, f.make({3})}};
    rejects([&] { ops::lincomb(f.ctx, terms, f.make({4})); });
    const std::vector<std::int32_t> inside{0, 2}, below{-1, 0}, above{0, 3};
    CHECK_NOTHROW(ops::gather(f.ctx, f.make({3, 4}), inside, f.make({2, 4})));
    rejects([&] { ops::gather(f.ctx, f.make({3, 4}), below, f.make({2, 4})); });
    rejects([&] { ops::gather(f.ctx, f.make({3, 4}), above, f.make({2, 4})); });
    rejects([&] { ops::gather(f.ctx, f.make({3, 4}), inside, f.make({3, 4})); });
    rejects([&] { ops::patchify(f.ctx, f.make({1, 4, 5, 4}), 2, f.make({4, 16})); });
    rejects([&] { ops::patchify(f.ctx, f.make({1, 4, 4, 4}), 2, f.make({4, 15})); });
    rejects([&] { ops::unpatchify(f.ctx, f.make({4, 12}), 2, f.make({1, 4, 4, 4})); });
    const std::vector<float> timesteps{1, 2};
    rejects([&] { ops::timestep_embed(f.ctx, timesteps, 0, f.make({2, 3})); });
    rejects([&] { ops::timestep_embed(f.ctx, timesteps, 0, f.make({3, 4})); });
    rejects([&] { ops::cast(f.ctx, f.make({4}), f.make({4}, DType::f16)); });
    rejects([&] { ops::limit(f.ctx, {.x = f.make({4})}); });
    rejects([&] { ops::limit(f.ctx, {.x = f.make({2, 4}, DType::bf16)}); });
    rejects([&] { ops::limit(f.ctx, {.x = f.make({2, 4}), .range = 0.0F}); });
    rejects([&] { ops::limit(f.ctx, {.x = f.make({2, 4}), .quantile = 1.5}); });
    rejects([&] { ops::to_rgb8(f.ctx, f.make({4}), f.make({4})); });
    rejects([&] { ops::to_rgb8(f.ctx, f.make({4}), f.make({5}, DType::u8)); });
    rejects([&] { ops::to_channels_last(f.ctx, f.make({1, 2, 3, 4}), f.make({1, 2, 3, 4})); });
    rejects([&] { ops::to_channels_first(f.ctx, f.make({1, 2, 3, 4}), f.make({1, 2, 3, 4})); });
    rejects([&] { static_cast<void>(ops::pack_linear(*f.backend, f.make({2}), DType::f32)); });
    rejects([&] { static_cast<void>(ops::pack_linear(*f.backend, f.make({2, 2}), DType::f16)); });
    rejects([&] { static_cast<void>(ops::pack_conv2d(*f.backend, f.make({2, 2}), DType::f32)); });
}

TEST_CASE("backends by name") {
    auto names = backend_names();
    std::erase(names, "cuda");  // there is one where there is a GPU
    CHECK(names == std::vector<std::string>{"cpu", "emulated", "ref"});
    CHECK_THROWS_WITH(make_backend("gpu"), Catch::Contains("cpu, emulated, ref"));
    for (const char* name : {"", "cpu:0", "auto:1", "ref:", "CPU"}) {
        INFO(name);
        CHECK_THROWS_WITH(make_backend(name), Catch::Contains("unknown device"));
    }
    CHECK(make_backend("auto")->name() == backend_names().front());
    CHECK(parse_device("cuda").gpu == 0);
    CHECK(parse_device("cuda:12").gpu == 12);
    CHECK(parse_device("emulated:7").kind == "emulated");
    CHECK(parse_compute_dtype("bf16", *make_backend("ref")) == DType::bf16);
    CHECK_THROWS_WITH(parse_compute_dtype("f16", *make_backend("ref")), Catch::Contains("auto, f32, bf16"));
    CHECK(make_backend("emulated:reverse")->name() == "emulated");
    for (const char* name : {"emulated:", "emulated:x", "emulated:1x", "emulated:-1"})
        CHECK_THROWS_WITH(make_backend(name), Catch::Contains(name) && Catch::Contains("emulated:reverse"));
    CHECK(make_backend("cpu", {.threads = 1})->description().find("1 thread,") != std::string::npos);
    CHECK(default_compute_dtype(*make_backend("ref")) == DType::f32);
}
