// A test of the tests: kernels of ours with one line made wrong (mutate.cmake) are found by what the conformance suite does,
// running in several orders and comparing with the reference.
#include <cmath>

#include "emulation/launches.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/ref/ref_kernels.h"
#include "support/catch.h"

using namespace t2i;
using namespace t2i::test;

namespace t2i::cuda {
namespace transpose_without_barrier {
void launch_to_channels_last(const float*, std::int64_t, std::int64_t, std::int64_t, MutableElements, cudaStream_t);
}
namespace group_norm_without_barrier {
void launch_group_norm(const GroupNorm&, void*, cudaStream_t);
}
namespace upsample_one_too_many {
void launch_upsample2x(Elements, std::int64_t, std::int64_t, std::int64_t, std::int64_t, MutableElements, cudaStream_t);
}
namespace embedding_one_off {
void launch_timestep_embed(const float*, std::int64_t, std::int64_t, float, MutableElements, cudaStream_t);
}
namespace modulation_of_the_next_group {
void launch_norm_modulate(const NormModulate&, cudaStream_t);
}
}  // namespace t2i::cuda

namespace {

std::vector<float> numbers(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * 7919 % 1013) / 256.0F - 1.0F;
    return values;
}

// Judges with the reference's values; those of the kernel may differ by `tolerance`, which is taken off before.
Verdict judge_near(const std::vector<float>& expected, float tolerance, const std::function<std::vector<float>()>& run) {
    return judge(expected, [&] {
        auto got = run();
        for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i)
            if (std::fabs(got[i] - expected[i]) <= tolerance) got[i] = expected[i];
        return got;
    });
}

template <typename Launch>
Verdict judge_transpose(Launch launch) {
    constexpr std::int64_t b = 2, c = 40, p = 70;
    const auto x = numbers(b * c * p);
    std::vector<float> expected(x.size());
    ref::to_channels_last({x.data()}, b, c, p, {expected.data()});
    return judge(expected, [&] {
        const OnGpu<float> from(x), to(x.size());
        launch(from.data(), b, c, p, cuda::MutableElements{to.data()}, nullptr);
        return to.values();
    });
}

template <typename Launch>
Verdict judge_group_norm(Launch launch) {
    constexpr std::int64_t b = 2, p = 300, c = 32, groups = 8;
    const auto x = numbers(b * p * c), weight = numbers(c), bias = numbers(c);
    std::vector<float> expected(x.size());
    ref::group_norm({x.data()}, {weight.data()}, {bias.data()}, b, p, c, groups, 1e-6F, ref::Function::silu, {expected.data()});
    return judge_near(expected, 1e-5F, [&] {
        const OnGpu<float> from(x), to(x.size()), w(weight), shift(bias),
            scratch(cuda::group_norm_scratch_bytes(b, p, c, groups) / sizeof(float));
        cuda::GroupNorm a{.batch = b, .pixels = p, .channels = c, .groups = groups};
        a.x = {from.data()};
        a.weight = w.data();
        a.bias = shift.data();
        a.eps = 1e-6F;
        a.silu = true;
        a.out = {to.data()};
        launch(a, scratch.data(), nullptr);
        return to.values();
    });
}

template <typename Launch>
Verdict judge_upsample(Launch launch) {
    constexpr std::int64_t b = 1, h = 3, w = 5, c = 8;
    const auto x = numbers(b * h * w * c);
    std::vector<float> expected(4 * x.size());
    ref::upsample2x({x.data()}, b, h, w, c, {expected.data()});
    return judge(expected, [&] {
        const OnGpu<float> from(x), to(expected.size());
        launch(cuda::Elements{from.data()}, b, h, w, c, cuda::MutableElements{to.data()}, nullptr);
        return to.values();
    });
}

template <typename Launch>
Verdict judge_embedding(Launch launch) {
    constexpr std::int64_t n = 3, c = 64;
    const std::vector<float> timesteps{1.0F, 500.0F, 999.0F};
    std::vector<float> expected(n * c);
    ref::timestep_embed(timesteps.data(), n, c, 0.0F, {expected.data()});
    return judge_near(expected, 1e-6F, [&] {
        const OnGpu<float> to(expected.size());
        launch(timesteps.data(), n, c, 0.0F, cuda::MutableElements{to.data()}, nullptr);
        return to.values();
    });
}

template <typename Launch>
Verdict judge_modulation(Launch launch) {
    constexpr std::int64_t m = 6, c = 512, groups = 2;
    const auto x = numbers(m * c), shift = numbers(groups * c), scale = numbers(groups * c + 3);
    std::vector<float> expected(x.size());
    ref::norm_modulate({x.data()}, {shift.data()}, {scale.data()}, m, c, groups, 1e-6F, {expected.data()});
    return judge_near(expected, 2e-5F, [&] {
        const OnGpu<float> from(x), to(x.size()), s(shift), t(scale);
        cuda::NormModulate a{.rows = m, .columns = c};
        a.x = from.data();
        a.shift = s.data();
        a.scale = t.data();
        a.rows_per_group = m / groups;
        a.eps = 1e-6F;
        a.out = {to.data()};
        launch(a, nullptr);
        return to.values();
    });
}

}  // namespace

TEST_CASE("a transpose without its barrier is found") {
    CHECK(judge_transpose(cuda::launch_to_channels_last) == Verdict::fine);
    CHECK(judge_transpose(cuda::transpose_without_barrier::launch_to_channels_last) == Verdict::differs);
}

TEST_CASE("a reduction without its barriers is found") {
    CHECK(judge_group_norm(cuda::launch_group_norm) == Verdict::fine);
    CHECK(judge_group_norm(cuda::group_norm_without_barrier::launch_group_norm) == Verdict::differs);
}

TEST_CASE("an index off by one that leaves the memory is found") {
    CHECK(judge_upsample(cuda::launch_upsample2x) == Verdict::fine);
    CHECK(judge_upsample(cuda::upsample_one_too_many::launch_upsample2x) == Verdict::stopped);
}

TEST_CASE("an index off by one that stays inside is found") {
    CHECK(judge_embedding(cuda::launch_timestep_embed) == Verdict::fine);
    CHECK(judge_embedding(cuda::embedding_one_off::launch_timestep_embed) != Verdict::fine);
    CHECK(judge_modulation(cuda::launch_norm_modulate) == Verdict::fine);
    CHECK(judge_modulation(cuda::modulation_of_the_next_group::launch_norm_modulate) == Verdict::differs);
}
