// DeviceOps on the emulated GPU, where the shapes of op_cases do not reach: rows too long for registers, lists longer than a
// kernel takes, data that is not aligned, and that a row or picture does not depend on its company.
#include <algorithm>
#include <cmath>

#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "support/catch.h"
#include "workloads/prepared_op.h"

using namespace t2i;

namespace {

std::vector<std::byte> bytes_of(Backend& backend, const TensorView& t) {
    const Tensor host = Tensor::host(t.shape, t.dtype);
    backend.copy(t, host);
    const auto* bytes = static_cast<const std::byte*>(host.view.data);
    return {bytes, bytes + t.bytes()};
}
std::vector<float> values_of(Backend& backend, const TensorView& t) {
    const auto bytes = bytes_of(backend, t);
    std::vector<float> values(static_cast<std::size_t>(t.elements()));
    convert_to_f32(bytes.data(), t.dtype, values.size(), values.data());
    return values;
}

// A backend with something to call operations with.
struct On {
    std::unique_ptr<Backend> backend;
    Arena scratch{[this](std::size_t bytes) { return backend->allocate(bytes); }};
    ExecContext ctx{*backend, scratch, nullptr};
    explicit On(const char* name) : backend(make_backend(name)) {}
};

// The largest difference between the emulated GPU and the reference, where `call` fills its output from the same inputs.
double difference(const std::function<TensorView(On&, PreparedOp&)>& call, DType dtype = DType::f32) {
    On gpu("emulated"), reference("ref");
    PreparedOp a(*gpu.backend, dtype, Fill::reals), b(*reference.backend, dtype, Fill::reals);
    const auto actual = values_of(*gpu.backend, call(gpu, a)), expected = values_of(*reference.backend, call(reference, b));
    REQUIRE(actual.size() == expected.size());
    CHECK(a.guards_intact());
    double worst = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (!(std::fabs(actual[i] - expected[i]) <= 1e30F)) return INFINITY;
        worst = std::max(worst, static_cast<double>(std::fabs(actual[i] - expected[i])));
    }
    return worst;
}

bool same(Backend& backend, const TensorView& a, const TensorView& b) {
    return bytes_of(backend, a) == bytes_of(backend, b);
}

// The same elements one element further on, so that no chunk is aligned.
TensorView moved(Backend& backend, const TensorView& t, std::vector<Tensor>& keep) {
    keep.push_back(allocate(backend, {t.elements() + 1}, t.dtype));
    const TensorView to = keep.back().view.slice(1, t.elements()).reshaped(t.shape);
    backend.copy(t, to);
    return to;
}

}  // namespace

TEST_CASE("norms of every width of row") {
    // Registers hold up to 512, 1,536 and 16,384 columns; longer rows are read again.
    for (const std::int64_t columns : {1, 511, 512, 513, 1536, 1537, 16384, 16385, 20000}) {
        INFO(columns << " columns");
        CHECK(difference([&](On& on, PreparedOp& p) {
                  const TensorView x = p.input({2, columns}, DType::f32), shift = p.input({1, columns}, DType::f32),
                                   scale = p.input({1, columns}, DType::f32), out = p.output({2, columns}, DType::f32);
                  ops::norm_modulate(on.ctx, {x, shift, scale, 1e-6F, out});
                  return out;
              }) < 2e-5);
        CHECK(difference([&](On& on, PreparedOp& p) {
                  ResidualNormArgs a;
                  a.y = p.input({2, columns}, DType::f32);
                  a.gate = p.input({2, columns}, DType::f32);
                  a.stream = p.input({2, columns}, DType::f32);
                  a.shift = p.input({1, columns}, DType::f32);
                  a.scale = p.input({1, columns}, DType::f32);
                  a.out = p.output({2, columns}, DType::f32);
                  ops::residual_norm(on.ctx, a);
                  return a.out;
              }) < 2e-5);
        CHECK(difference([&](On& on, PreparedOp& p) {
                  const TensorView x = p.input({2, columns}, DType::f32), weight = p.input({columns}, DType::f32),
                                   out = p.output({2, columns}, DType::f32);
                  ops::rms_norm(on.ctx, x, weight, 1e-6F, out);
                  return out;
              }) < 2e-5);
    }
}

TEST_CASE("lists longer than a kernel takes") {
    constexpr std::int64_t count = 2000;
    CHECK(difference([](On& on, PreparedOp& p) {
              const TensorView table = p.input({50, 12}, DType::f32), out = p.output({count, 12}, DType::f32);
              ops::gather(on.ctx, table, p.indices(count, 50), out);
              return out;
          }) == 0);
    CHECK(difference([](On& on, PreparedOp& p) {
              const TensorView out = p.output({count, 8}, DType::f32);
              ops::timestep_embed(on.ctx, p.numbers(count, 999.0F), 0.0F, out);
              return out;
          }) < 4 * 0x1p-24);
}

TEST_CASE("a sum of more terms than a kernel takes is refused") {
    On on("emulated");
    PreparedOp p(*on.backend, DType::f32, Fill::reals);
    const TensorView x = p.input({4}, DType::f32), out = p.output({4}, DType::f32);
    const std::vector<LincombTerm> most(16, {0.5, x}), more(17, {0.5, x});
    ops::lincomb(on.ctx, most, out);
    CHECK_THROWS_WITH(ops::lincomb(on.ctx, more, out), Catch::Contains("17 terms"));
}

TEST_CASE("group_norm over many splits of a picture") {
    for (const DType dtype : {DType::f32, DType::bf16})
        CHECK(difference(
                  [&](On& on, PreparedOp& p) {
                      GroupNormArgs a;
                      a.x = p.input({1, 70, 71, 12}, dtype);
                      a.weight = p.input({12}, DType::f32);
                      a.bias = p.input({12}, DType::f32);
                      a.groups = 3;
                      a.activation = Activation::silu;
                      a.out = p.output({1, 70, 71, 12}, dtype);
                      ops::group_norm(on.ctx, a);
                      return a.out;
                  },
                  dtype) < (dtype == DType::f32 ? 2e-5 : 0x1p-6));
}

TEST_CASE("a row of a norm and a picture of group_norm do not depend on those beside them") {
    On on("emulated");
    for (const DType dtype : {DType::f32, DType::bf16}) {
        PreparedOp p(*on.backend, dtype, Fill::reals);
        const TensorView x = p.input({9, 384}, DType::f32), weight = p.input({384}, DType::f32),
                         shift = p.input({1, 384}, DType::f32);
        const Tensor whole = allocate(*on.backend, {9, 384}, dtype), part = allocate(*on.backend, {2, 384}, dtype);
        ops::rms_norm(on.ctx, x, weight, 1e-6F, whole);
        ops::rms_norm(on.ctx, x.slice(5, 2), weight, 1e-6F, part);
        CHECK(same(*on.backend, part, whole.view.slice(5, 2)));
        ops::norm_modulate(on.ctx, {x, shift, shift, 1e-6F, whole});
        ops::norm_modulate(on.ctx, {x.slice(5, 2), shift, shift, 1e-6F, part});
        CHECK(same(*on.backend, part, whole.view.slice(5, 2)));

        GroupNormArgs a;
        a.x = p.input({3, 20, 20, 16}, dtype);
        a.weight = a.bias = p.input({16}, DType::f32);
        a.groups = 4;
        const Tensor pictures = allocate(*on.backend, {3, 20, 20, 16}, dtype),
                     picture = allocate(*on.backend, {1, 20, 20, 16}, dtype);
        a.out = pictures;
        ops::group_norm(on.ctx, a);
        a.x = a.x.slice(1, 1);
        a.out = picture;
        ops::group_norm(on.ctx, a);
        CHECK(same(*on.backend, picture, pictures.view.slice(1, 1)));
    }
}

TEST_CASE("data that is not aligned gives the same bytes") {
    On on("emulated");
    Backend& backend = *on.backend;
    for (const DType dtype : {DType::f32, DType::bf16}) {
        PreparedOp p(backend, dtype, Fill::reals);
        std::vector<Tensor> keep;
        keep.reserve(16);
        const TensorView x = p.input({4, 384}, DType::f32), weight = p.input({384}, DType::f32), y = p.input({4, 8, 8, 6}, dtype);
        const Tensor out = allocate(backend, {4, 384}, dtype);
        const TensorView there = moved(backend, out, keep);
        ops::rms_norm(on.ctx, x, weight, 1e-6F, out);
        ops::rms_norm(on.ctx, moved(backend, x, keep), weight, 1e-6F, there);
        CHECK(same(backend, out, there));

        GroupNormArgs a;
        a.x = p.input({2, 8, 8, 16}, dtype);
        a.weight = a.bias = p.input({16}, DType::f32);
        a.groups = 4;
        const Tensor norm = allocate(backend, {2, 8, 8, 16}, dtype);
        a.out = norm;
        ops::group_norm(on.ctx, a);
        a.x = moved(backend, a.x, keep);
        a.out = moved(backend, norm, keep);
        ops::group_norm(on.ctx, a);
        CHECK(same(backend, norm, a.out));

        const Tensor silu = allocate(backend, {4, 8, 8, 6}, dtype), large = allocate(backend, {4, 16, 16, 6}, dtype);
        const TensorView silu_there = moved(backend, silu, keep), large_there = moved(backend, large, keep),
                         y_there = moved(backend, y, keep);
        ops::unary(on.ctx, Unary::silu, y, silu);
        ops::unary(on.ctx, Unary::silu, y_there, silu_there);
        CHECK(same(backend, silu, silu_there));
        ops::upsample2x(on.ctx, y, large);
        ops::upsample2x(on.ctx, y_there, large_there);
        CHECK(same(backend, large, large_there));
    }
}

TEST_CASE("the emulated GPU's memory is not the host's") {
    On on("emulated");
    const Tensor t = allocate(*on.backend, {4});
    CHECK(t.view.device == Device::cuda);
    CHECK_THROWS_WITH(t.as<float>(), Catch::Contains("not host memory"));
}

TEST_CASE("sampler_update names the first step that was not finite") {
    On on("emulated");
    Backend& backend = *on.backend;
    PreparedOp p(backend, DType::f32, Fill::reals);
    const TensorView first_bad = p.integers({100}), x0 = p.input({70}, DType::f32), x = p.input({70}, DType::f32),
                     out = p.input({70}, DType::f32);
    const auto update = [&](std::int32_t step, double coefficient) {
        const std::vector<LincombTerm> to_x0{{1.0, out}}, to_x{{coefficient, x0}};
        SamplerUpdateArgs a;
        a.x0_terms = to_x0;
        a.x0 = x0;
        a.x_terms = to_x;
        a.x = x;
        a.step = step;
        a.first_bad = first_bad;
        ops::sampler_update(on.ctx, a);
        const Tensor host = Tensor::host({1}, DType::i32);
        backend.copy(first_bad, host);
        return host.as<std::int32_t>()[0];
    };
    CHECK(update(3, 1.0) == 100);
    CHECK(update(4, 1e300) == 4);  // overflows in every element
    CHECK(update(5, NAN) == 4);
    CHECK(update(2, INFINITY) == 2);
}
