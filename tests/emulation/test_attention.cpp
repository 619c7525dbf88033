// What the conformance suite cannot ask of the attention kernels: every path by its own condition, odd scales, weights in one
// part, NaN, and what lies past the keys that count.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "conformance/tolerance.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/emulation/emulator.h"
#include "kernels/ref/ref_kernels.h"
#include "support/catch.h"

using namespace t2i;

namespace {

std::uint16_t to_bf16_bits(float x) {
    std::uint16_t bits = 0;
    ref::Out{&bits, ref::Element::bf16}.set(0, x);
    return bits;
}
float from_bf16_bits(std::uint16_t bits) {
    return static_cast<float>(ref::In{&bits, ref::Element::bf16}[0]);
}

// Memory of the emulated GPU.
template <typename T>
class DeviceVector {
  public:
    explicit DeviceVector(const std::vector<T>& values) : count_(values.size()), data_(emulation::allocate(count_ * sizeof(T))) {
        std::ranges::copy(values, get());
    }
    [[nodiscard]] T* get() const { return static_cast<T*>(data_.get()); }
    [[nodiscard]] std::vector<T> values() const { return {get(), get() + count_}; }

  private:
    struct Release {
        void operator()(void* p) const { emulation::release(p); }
    };
    std::size_t count_;
    std::unique_ptr<void, Release> data_;
};

struct Case {
    std::int64_t batch = 1, heads = 2, queries = 33, keys = 70, head_size = 72;
    bool bf16 = true, bias = false, rounded = false;
    float scale = 0.125F;
    std::int64_t offset = 0;  // elements before the first column: 1 takes the alignment away
    std::vector<std::int32_t> lengths = {};
    [[nodiscard]] std::int64_t width() const { return heads * head_size; }
    [[nodiscard]] std::int64_t stride() const { return width() + 8 * offset; }
};

// Operands in [-1, 1), the same for every case of a shape.
struct Operands {
    std::vector<float> q, k, v, bias;

    explicit Operands(const Case& c)
        : q(static_cast<std::size_t>(c.batch * c.queries * c.stride() + c.offset)),
          k(static_cast<std::size_t>(c.batch * c.keys * c.stride() + c.offset)),
          v(k.size()),
          bias(c.bias ? static_cast<std::size_t>(c.heads * c.queries * c.keys) : 0) {
        std::uint32_t state = 12345;
        for (auto* part : {&q, &k, &v, &bias})
            for (float& value : *part) {
                state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator
                value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
                if (c.bf16 && part != &bias) value = from_bf16_bits(to_bf16_bits(value));
            }
    }
};

template <typename T>
std::vector<T> stored(const std::vector<float>& values) {
    std::vector<T> out;
    for (const float value : values) {
        if constexpr (sizeof(T) == 2) out.push_back(to_bf16_bits(value));
        else out.push_back(value);
    }
    return out;
}

template <typename T>
std::vector<float> run_as(const Case& c, const Operands& in) {
    const DeviceVector<T> q(stored<T>(in.q)), k(stored<T>(in.k)), v(stored<T>(in.v));
    const DeviceVector<T> out(std::vector<T>(static_cast<std::size_t>(c.batch * c.queries * c.width())));
    const DeviceVector<float> bias(in.bias);
    const DeviceVector<std::int32_t> lengths(c.lengths);
    cuda::Attention a;
    a.batch = c.batch;
    a.heads = c.heads;
    a.queries = c.queries;
    a.keys = c.keys;
    a.head_size = c.head_size;
    a.is_bf16 = c.bf16;
    a.rounded_weights = c.rounded;
    a.q = {q.get() + c.offset, c.stride()};
    a.k = {k.get() + c.offset, c.stride()};
    a.v = {v.get() + c.offset, c.stride()};
    a.scale = c.scale;
    a.bias = c.bias ? bias.get() : nullptr;
    a.key_lengths = c.lengths.empty() ? nullptr : lengths.get();
    a.out = out.get();
    cuda::launch_attention(a, nullptr);
    std::vector<float> values;
    for (const T value : out.values()) {
        if constexpr (sizeof(T) == 2) values.push_back(from_bf16_bits(value));
        else values.push_back(value);
    }
    return values;
}
std::vector<float> run(const Case& c, const Operands& in) {
    return c.bf16 ? run_as<std::uint16_t>(c, in) : run_as<float>(c, in);
}

std::vector<float> reference(const Case& c, const Operands& in) {
    std::vector<float> out(static_cast<std::size_t>(c.batch * c.queries * c.width()));
    ref::Attention a{};
    a.batch = c.batch;
    a.heads = c.heads;
    a.queries = c.queries;
    a.keys = c.keys;
    a.head_size = c.head_size;
    a.q = {{in.q.data()}, c.stride(), c.offset};
    a.k = {{in.k.data()}, c.stride(), c.offset};
    a.v = {{in.v.data()}, c.stride(), c.offset};
    a.scale = c.scale;
    a.bias = {c.bias ? in.bias.data() : nullptr};
    a.lengths = c.lengths.empty() ? nullptr : c.lengths.data();
    a.out = {out.data()};
    ref::attention(a);
    return out;
}

// Largest error as a share of what is allowed. Weights rounded to bf16, each by at most 2^-8 of it, and divided by the sum of
// what they became, move the mean of values in [-1, 1) by at most 2^-8 times their mean distance from it, which is below 1.
double worst_share(const Case& c, const std::vector<float>& actual, const std::vector<float>& expected) {
    OpCase shape{.op = Op::attention, .name = "", .terms = c.keys + c.head_size, .head_size = c.head_size};
    const double scale_growth = std::max(1.0, std::fabs(c.scale) * std::sqrt(static_cast<double>(c.head_size)));
    double worst = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double e = c.bf16 ? from_bf16_bits(to_bf16_bits(expected[i])) : expected[i];
        const double allowed = scale_growth * test::attention_tolerance(shape, 1) +
                               test::storage_tolerance(c.bf16 ? DType::bf16 : DType::f32, e) + (c.rounded ? 0x1p-8 : 0.0);
        const double error = std::fabs(actual[i] - e);
        worst = std::isnan(error) ? INFINITY : std::max(worst, error / allowed);
    }
    return worst;
}

void check_case(const Case& c) {
    const Operands in(c);
    INFO("head size " << c.head_size << ", keys " << c.keys << ", scale " << c.scale << (c.bf16 ? ", bf16" : ", f32")
                      << (c.bias ? ", bias" : "") << (c.rounded ? ", rounded" : "") << ", offset " << c.offset);
    CHECK(worst_share(c, run(c, in), reference(c, in)) <= 1);
}

}  // namespace

TEST_CASE("attention without alignment") {
    for (const std::int64_t head_size : {8, 64, 72, 200}) check_case({.head_size = head_size, .offset = 1});
    check_case({.bias = true, .offset = 1, .lengths = {65}});
}

TEST_CASE("attention with scales that no model has") {
    for (const float scale : {-0.125F, 0.0F, 1.0F, 1e-7F}) {
        check_case({.scale = scale});
        check_case({.head_size = 64, .bias = true, .scale = scale, .lengths = {33}});
        check_case({.head_size = 100, .bias = true, .scale = scale});
        check_case({.bf16 = false, .bias = true, .scale = scale});
    }
}

TEST_CASE("attention at the edges of its tiles of keys") {
    for (const std::int64_t keys : {1, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
        check_case({.queries = 5, .keys = keys});
        check_case({.queries = 5, .keys = keys, .head_size = 24});
        check_case({.queries = 5, .keys = keys, .bf16 = false});
    }
}

TEST_CASE("attention with weights in one part is as near as their rounding allows") {
    for (const std::int64_t head_size : {24, 64, 72, 128, 200}) {
        check_case({.head_size = head_size, .rounded = true});
        check_case({.head_size = head_size, .bias = true, .rounded = true});
    }
}

TEST_CASE("weights in one part add up to one, whatever they were rounded to") {
    // All keys but one score -i / 128, with the i whose weight loses most in rounding; all values are one half, below which
    // bf16 is finest.
    float score = 0, loss = 0;
    for (int i = 1; i < 128; ++i) {
        const float weight = std::exp(static_cast<float>(-i) / 128), lost = 1 - from_bf16_bits(to_bf16_bits(weight)) / weight;
        if (lost > loss) {
            loss = lost;
            score = static_cast<float>(-i) / 128;
        }
    }
    REQUIRE(loss > 0x1p-9F);
    for (const std::int64_t head_size : {64, 72, 100}) {
        const Case c{.heads = 1, .keys = 129, .head_size = head_size, .rounded = true, .scale = 1.0F};
        Operands in(c);
        std::ranges::fill(in.q, 0.0F);
        std::ranges::fill(in.k, 0.0F);
        std::ranges::fill(in.v, 0.5F);
        for (std::int64_t i = 0; i < c.queries; ++i) in.q[static_cast<std::size_t>(i * c.stride())] = 1.0F;
        for (std::int64_t j = 1; j < c.keys; ++j) in.k[static_cast<std::size_t>(j * c.stride())] = score;
        bool same = true;
        for (const float value : run(c, in)) same = same && value == 0.5F;
        INFO("head size " << head_size);
        CHECK(same);
    }
}

TEST_CASE("attention gives NaN for NaN, and only in its rows") {
    for (const bool bf16 : {true, false})
        for (const std::int64_t head_size : {64, 72, 100}) {
            const Case c{.heads = 1, .head_size = head_size, .bf16 = bf16};
            const Operands clean(c);
            const auto plain = run(c, clean);
            Operands in = clean;
            in.q[static_cast<std::size_t>(7 * c.stride() + 3)] = std::numeric_limits<float>::quiet_NaN();
            const auto query = run(c, in);
            in = clean;
            in.v[static_cast<std::size_t>(69 * c.stride() + 5)] = std::numeric_limits<float>::quiet_NaN();
            const auto value = run(c, in);
            in = clean;
            in.k[static_cast<std::size_t>(69 * c.stride() + 5)] = std::numeric_limits<float>::quiet_NaN();
            const auto key = run(c, in);
            bool right = true;
            for (std::size_t i = 0; i < plain.size(); ++i) {
                const auto row = static_cast<std::int64_t>(i) / head_size, column = static_cast<std::int64_t>(i) % head_size;
                right = right && (row == 7 ? std::isnan(query[i]) : query[i] == plain[i]);
                right = right && (column == 5 ? std::isnan(value[i]) : value[i] == plain[i]) && std::isnan(key[i]);
            }
            INFO("head size " << head_size << (bf16 ? ", bf16" : ", f32"));
            CHECK(right);
        }
}

TEST_CASE("attention with a bias of -infinity") {
    for (const bool bf16 : {true, false})
        for (const std::int64_t head_size : {64, 72, 100}) {
            const Case c{.keys = 140, .head_size = head_size, .bf16 = bf16, .bias = true};
            Operands in(c);
            // The first tile of the first row is masked whole; the last row of the last head has nothing left.
            for (std::size_t key = 0; key < 70; ++key) in.bias[key] = -std::numeric_limits<float>::infinity();
            for (std::size_t key = 0; key < 140; ++key)
                in.bias[in.bias.size() - 1 - key] = -std::numeric_limits<float>::infinity();
            auto actual = run(c, in), expected = reference(c, in);
            bool nothing_left = true;
            for (std::int64_t i = 0; i < head_size; ++i) {
                nothing_left = nothing_left && std::isnan(actual.back()) && std::isnan(expected.back());
                actual.pop_back();
                expected.pop_back();
            }
            INFO("head size " << head_size << (bf16 ? ", bf16" : ", f32"));
            CHECK(nothing_left);
            CHECK(worst_share(c, actual, expected) <= 1);
        }
}

TEST_CASE("attention does not depend on the order of threads") {
    for (const Case& c : {Case{}, Case{.head_size = 64, .bias = true}, Case{.head_size = 100}, Case{.bf16 = false}}) {
        const Operands in(c);
        emulation::use({});
        const auto forward = run(c, in);
        emulation::use({.order = emulation::Order::reverse});
        const auto reverse = run(c, in);
        emulation::use({.order = emulation::Order::shuffled, .seed = 5, .fill = 0x5A});
        const auto shuffled = run(c, in);
        emulation::use({});
        CHECK(forward == reverse);
        CHECK(forward == shuffled);
    }
}

TEST_CASE("a head of attention does not depend on how many there are") {
    // With 512 heads, blocks of 128 queries.
    for (const std::int64_t head_size : {64, 72}) {
        const Case one{.heads = 1, .queries = 65, .keys = 9, .head_size = head_size, .bias = head_size == 64};
        Case many = one;
        many.heads = 512;
        const Operands in(one);
        Operands repeated(many);
        const auto repeat = [&](const std::vector<float>& from, std::vector<float>& to) {
            for (std::size_t i = 0; i < to.size(); ++i) {
                const auto row = static_cast<std::int64_t>(i) / many.stride(), column = static_cast<std::int64_t>(i) % head_size;
                to[i] = from[static_cast<std::size_t>(row * head_size + column)];
            }
        };
        repeat(in.q, repeated.q);
        repeat(in.k, repeated.k);
        repeat(in.v, repeated.v);
        for (std::size_t i = 0; i < repeated.bias.size(); ++i) repeated.bias[i] = in.bias[i % in.bias.size()];
        std::vector<float> expected(static_cast<std::size_t>(many.queries * many.width()));
        repeat(run(one, in), expected);
        INFO("head size " << head_size);
        CHECK(run(many, repeated) == expected);
    }
}
