// Values that do not come from this repository: closed forms, and PyTorch 2 where a line says so. They pin
// the reference, which everything else is compared with; the other backends are held to them as well.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"

using namespace t2i;

namespace {

// A backend, and tensors in its memory that live as long as it does.
struct On {
    ExecContext ctx;
    std::vector<Tensor> tensors{};

    TensorView tensor(const std::vector<float>& values, Shape shape) {
        return tensors.emplace_back(upload(ctx.backend, Tensor::from(values, shape))).view;
    }
    TensorView make(Shape shape) { return tensors.emplace_back(allocate(ctx.backend, shape)).view; }
    TensorView integers(const std::vector<std::int32_t>& values) {
        const Tensor host = Tensor::host({static_cast<std::int64_t>(values.size())}, DType::i32);
        std::ranges::copy(values, host.as<std::int32_t>().begin());
        return tensors.emplace_back(upload(ctx.backend, host)).view;
    }
    [[nodiscard]] std::vector<float> values(const TensorView& t) const {
        const Tensor host = Tensor::host(t.shape);
        ctx.backend.copy(t, host);
        const auto floats = host.as<float>();
        return {floats.begin(), floats.end()};
    }
    void check_values(const TensorView& t, const std::vector<float>& expected, double margin = 2e-6) const {
        REQUIRE(t.elements() == static_cast<std::int64_t>(expected.size()));
        const auto actual = values(t);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            INFO("element " << i);
            CHECK(actual[i] == Approx(expected[i]).epsilon(margin).margin(margin / 10));
        }
    }
};

// Calls test on every backend.
template <typename Test>
void on_every_backend(Test test) {
    for (const std::string& name : backend_names()) {
        INFO(name);
        const auto backend = make_backend(name);
        Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
        On on{{*backend, scratch, nullptr}};
        test(on);
    }
}

// For packing, which reads host memory.
Tensor host(const std::vector<float>& values, Shape shape) {
    return Tensor::from(values, shape);
}

}  // namespace

TEST_CASE("known values of functions") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        const TensorView x = on.tensor({-3, -1, .5F, 1, 3}, {5}), out = on.make({5});
        ops::unary(ctx, Unary::gelu_tanh, x, out);
        on.check_values(out, {-.003637392F, -.158808F, .345714F, .841192F, 2.996363F});
        ops::unary(ctx, Unary::silu, x, out);
        on.check_values(out, {-.1422776F, -.2689414F, .3112297F, .7310586F, 2.857722F});
        ops::unary(ctx, Unary::relu, x, out);
        on.check_values(out, {0, 0, .5F, 1, 3});
        const TensorView clamped = on.tensor({-6, -1, .5F, 4, 0}, {5});
        ops::unary(ctx, Unary::soft_clamp3, clamped, out);
        on.check_values(out, {-2.892083F, -.9645382F, .4954212F, 2.610185F, 0});
        ops::unary(ctx, Unary::exp, on.tensor({-9.25F, -1, 0, 1, 3}, {5}), out);
        on.check_values(out, {9.611166e-5F, .3678794F, 1, 2.718282F, 20.08554F});
        const TensorView gated = on.make({1});
        ops::gated_gelu(ctx, on.tensor({-1, 3}, {1, 2}), gated);
        on.check_values(gated, {-.476424F});
    });
}

TEST_CASE("functions far from zero") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        const TensorView x = on.tensor({-1000, -100, 100, 1000, std::numeric_limits<float>::quiet_NaN()}, {5}),
                         out = on.make({5});
        for (const Unary f : {Unary::gelu_tanh, Unary::silu, Unary::soft_clamp3}) {
            ops::unary(ctx, f, x, out);
            const bool clamp = f == Unary::soft_clamp3;
            const auto y = on.values(out);
            CHECK(y[0] == Approx(clamp ? -3 : 0).margin(1e-30));
            CHECK(y[1] == Approx(clamp ? -3 : 0).margin(1e-30));
            CHECK(y[2] == Approx(clamp ? 3 : 100));
            CHECK(y[3] == Approx(clamp ? 3 : 1000));
            CHECK(std::isnan(y[4]));
        }
    });
}

TEST_CASE("known values of norms") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        const TensorView zero = on.tensor({0, 0, 0, 0}, {1, 4}), out = on.make({1, 4});
        const auto layer_norm = [&](std::vector<float> x, float eps) {
            ops::norm_modulate(ctx, {on.tensor(x, {1, 4}), zero, zero, eps, out});
        };
        layer_norm({1, 2, 3, 4}, 1e-6F);
        on.check_values(out, {-1.3416402F, -.4472134F, .4472134F, 1.3416402F});
        layer_norm({1, 2, 3, 4}, 1e-5F);
        on.check_values(out, {-1.3416355F, -.44721183F, .44721183F, 1.3416355F});
        layer_norm({.001F, .002F, .003F, .004F}, 1e-6F);
        on.check_values(out, {-1.0F, -.3333333F, .3333333F, 1.0F});
        ops::norm_modulate(ctx, {on.tensor({1, 2, 3, 4}, {1, 4}), on.tensor({1, 1, 1, 1}, {1, 4}),
                                 on.tensor({1, -1, 0, 2}, {1, 4}), 1e-6F, out});
        on.check_values(out, {1 - 2 * 1.3416402F, 1, 1.4472134F, 1 + 3 * 1.3416402F});
        ops::rms_norm(ctx, on.tensor({1, 2, 3, 4}, {1, 4}), on.tensor({1, 1, 1, 1}, {4}), 1e-6F, out);
        on.check_values(out, {.36514837F, .73029673F, 1.095445F, 1.4605935F});
        // PyTorch: silu(group_norm(x, 2, weight, bias, 1e-6)), x channels last.
        const TensorView grouped = on.make({1, 1, 2, 4});
        ops::group_norm(ctx, {on.tensor({1, 2, 3, 5, 8, 13, 21, 34}, {1, 1, 2, 4}), on.tensor({1, 2, .5F, 1}, {4}),
                              on.tensor({0, .5F, 0, -1}, {4}), 2, 1e-6F, Activation::silu, grouped});
        on.check_values(grouped,
                        {-.27106643F, -.27657077F, -.18993109F, -.25130844F, .2482439F, 3.277283F, .11461277F, .27063307F}, 4e-6);
    });
}

TEST_CASE("a large mean does not disturb the variance") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        // 1000 ± 1 alternating: normalised to ± 1.
        std::vector<float> alternating(1024);
        for (std::size_t i = 0; i < alternating.size(); ++i) alternating[i] = 1000.0F + (i / 4 % 2 ? 1.0F : -1.0F);
        const TensorView x = on.tensor(alternating, {1, 16, 16, 4}), out = on.make({1, 16, 16, 4});
        ops::group_norm(ctx, {x, on.tensor({1, 1, 1, 1}, {4}), on.tensor({0, 0, 0, 0}, {4}), 2, 1e-6F, Activation::none, out});
        on.check_values(out.slice(0, 1).reshaped({1024}).slice(0, 8), {-1, -1, -1, -1, 1, 1, 1, 1});
    });
}

TEST_CASE("known values of products") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        // PyTorch: gelu(linear(x, w, b), approximate="tanh").
        const auto weight = ops::pack_linear(ctx.backend, host({.5F, -1, 2, 1, 1, -.25F}, {2, 3}), DType::f32);
        const TensorView x = on.tensor({1, -2, .5F, 0, 3, -1}, {2, 3}), bias = on.tensor({.1F, -.2F}, {2}), out = on.make({2, 2});
        LinearArgs a{.x = x,
                     .weight = weight.get(),
                     .bias = bias,
                     .activation = Activation::gelu_tanh,
                     .gate = {},
                     .residual = {},
                     .out = out};
        ops::linear(ctx, a);
        on.check_values(out, {3.5996F, -.12291F, -4.3809e-7F, 3.0469F}, 2e-5);
        // Without activation the rows are (3.6, -1.325) and (-4.9, 3.05); gate and residual by hand.
        const TensorView residual = on.tensor({10, 20}, {1, 2}), gate = on.tensor({2, 1, 0, -1}, {2, 2});
        a.activation = Activation::none;
        a.residual = residual;
        a.gate = gate;
        ops::linear(ctx, a);
        on.check_values(out, {17.2F, 18.675F, 10, 16.95F});
    });
}

TEST_CASE("known values of attention") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        // PyTorch: scaled_dot_product_attention, without and with the third key masked.
        const TensorView q = on.tensor({1, 0, .5F, -1}, {2, 2}), k = on.tensor({1, 2, 0, -1, -1, .5F}, {3, 2}),
                         v = on.tensor({1, 2, 3, -4, 0, .5F}, {3, 2});
        const TensorView out = on.make({2, 2});
        AttentionArgs a{.q = Columns::all(q),
                        .k = Columns::all(k),
                        .v = Columns::all(v),
                        .scale = std::sqrt(.5F),
                        .bias = {},
                        .key_lengths = {},
                        .out = out};
        ops::attention(ctx, a);
        on.check_values(out, {1.4280F, .0860F, 2.2426F, -2.5017F}, 6e-4);
        a.key_lengths = on.integers({2});
        ops::attention(ctx, a);
        on.check_values(out, {1.6605F, .0186F, 2.7084F, -3.1251F}, 3e-3);
    });
}

TEST_CASE("known values of convolution") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        const TensorView x = on.tensor({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3, 3, 1});
        const auto filter = ops::pack_conv2d(ctx.backend, host({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3}), DType::f32);
        const auto convolve = [&](const TensorView& out, std::int64_t stride, std::array<std::int64_t, 4> padding) {
            Conv2dArgs a;
            a.x = x;
            a.weight = filter.get();
            a.stride = stride;
            a.padding = padding;
            a.out = out;
            ops::conv2d(ctx, a);
        };
        // PyTorch: conv2d(pad(x, (0, 1, 0, 1)), w, stride=2), the same with stride 1, conv2d(x, w,
        // padding=1).
        const TensorView one = on.make({1, 1, 1, 1}), four = on.make({1, 2, 2, 1}), nine = on.make({1, 3, 3, 1});
        convolve(one, 2, {0, 0, 1, 1});
        on.check_values(one, {285});
        convolve(four, 1, {0, 0, 1, 1});
        on.check_values(four, {285, 186, 154, 94});
        convolve(nine, 1, {1, 1, 1, 1});
        on.check_values(nine, {94, 154, 106, 186, 285, 186, 106, 154, 94});
        // PyTorch: two channels in (0 … 3 and 4 … 7) and out, a filter of two rows.
        const auto two = ops::pack_conv2d(ctx.backend, host({-3, -2, -1, 0, 1, 2, 3, 4}, {2, 2, 2, 1}), DType::f32);
        const TensorView picture = on.tensor({0, 4, 1, 5, 2, 6, 3, 7}, {1, 2, 2, 2}), row = on.make({1, 1, 2, 2});
        Conv2dArgs a;
        a.x = picture;
        a.weight = two.get();
        a.out = row;
        ops::conv2d(ctx, a);
        on.check_values(row, {-8, 40, -14, 50});
    });
}

TEST_CASE("known values of patches and timesteps") {
    on_every_backend([](On& on) {
        const ExecContext& ctx = on.ctx;
        // 2 x 2 tokens of 8 channels, value 100 · token + column.
        std::vector<float> counted(128);
        for (std::size_t i = 0; i < counted.size(); ++i) counted[i] = static_cast<float>(100 * (i / 32) + i % 32);
        const TensorView tokens = on.tensor(counted, {4, 32}), out = on.make({1, 4, 4, 4});
        ops::unpatchify(ctx, tokens, 2, out);
        on.check_values(out.reshaped({64}).slice(0, 16),
                        {0, 8, 100, 108, 16, 24, 116, 124, 200, 208, 300, 308, 216, 224, 316, 324});
        on.check_values(out.reshaped({64}).slice(52, 4), {19, 27, 119, 127});
        const TensorView patches = on.make({4, 4});
        ops::patchify(ctx, on.tensor({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {1, 1, 4, 4}), 2, patches);
        on.check_values(patches, {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15});
        // PyTorch: the formula with torch.exp, cos and sin in f32.
        const TensorView embedded = on.make({2, 4});
        const std::vector<float> timesteps{2, 999};
        ops::timestep_embed(ctx, timesteps, 0.0F, embedded);
        on.check_values(embedded, {-.4161F, .9998F, .9093F, .0200F, .9996F, -.8445F, -.0265F, -.5356F}, 2e-3);
    });
}
