// Does the emulator notice what a kernel may not do? Each kernel here is wrong in one way, beside one that is right.
#include <cuda_bf16.h>

#include <cmath>
#include <numeric>

#include "emulation/launches.h"
#include "kernels/cuda/launch.cuh"
#include "support/catch.h"

using namespace t2i;
using namespace t2i::test;
using cuda::dynamic_shared;
using cuda::launch;
using cuda::static_shared;

namespace {

constexpr int threads = 64;
constexpr unsigned everyone = 0xFFFFFFFFU;

std::vector<float> one_to(int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), 1.0F);
    return values;
}

// What `kernel` makes of 1, 2, … in each of `threads` threads.
Verdict judge_kernel(void (*kernel)(const float*, float*), const std::vector<float>& expected) {
    return judge(expected, [&] {
        const OnGpu<float> x(one_to(threads)), out(expected.size());
        launch(kernel, dim3(1), dim3(threads), threads * sizeof(float), nullptr, x.data(), out.data());
        return out.values();
    });
}
std::vector<float> rotated() {
    std::vector<float> values = one_to(threads);
    std::rotate(values.begin(), values.begin() + 1, values.end());
    return values;
}
std::string message_of(void (*kernel)(const float*, float*), int block = threads) {
    const OnGpu<float> x(one_to(threads)), out(threads);
    try {
        launch(kernel, dim3(1), dim3(static_cast<unsigned>(block)), threads * sizeof(float), nullptr, x.data(), out.data());
    } catch (const emulation::Fault& fault) {
        return fault.what();
    }
    return "";
}

template <bool has_barrier>
void rotate_kernel(const float* x, float* out) {
    auto* shared = dynamic_shared<float>();
    shared[threadIdx.x] = x[threadIdx.x];
    if (has_barrier) __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + 1) % threads];
}

struct Line {
    float at[threads];
};
template <int shift>
void static_rotate_kernel(const float* x, float* out) {
    Line& shared = static_shared<Line>();
    float* place = shared.at + threadIdx.x + shift;
    *place = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = shared.at[(threadIdx.x + 1) % threads];
}
void dynamic_past_end_kernel(const float* x, float* out) {
    dynamic_shared<float>()[threadIdx.x + 1] = x[threadIdx.x];
    out[threadIdx.x] = x[(threadIdx.x + 1) % threads];
}
template <int shift>
void global_kernel(const float* x, float* out) {
    out[static_cast<int>(threadIdx.x) + shift] = x[(threadIdx.x + 1) % threads];
}
void uninitialised_kernel(const float* x, float* out) {
    auto* shared = dynamic_shared<float>();
    if (threadIdx.x > 0) shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + 1) % threads];
}
void divergent_barrier_kernel(const float*, float*) {
    if (threadIdx.x < 16) __syncthreads();
    else __syncthreads();
}
void missed_barrier_kernel(const float*, float*) {
    if (threadIdx.x < 16) return;
    __syncthreads();
}
void missed_shuffle_kernel(const float* x, float* out) {
    if (threadIdx.x % 32 == 3) return;
    out[threadIdx.x] = __shfl_xor_sync(everyone, x[threadIdx.x], 1);
}
void divergent_shuffle_kernel(const float* x, float* out) {
    if (threadIdx.x % 2) out[threadIdx.x] = __shfl_xor_sync(everyone, x[threadIdx.x], 1);
    else out[threadIdx.x] = __shfl_xor_sync(everyone, x[threadIdx.x], 1);
}
void misaligned_kernel(const float* x, float* out) {
    if (threadIdx.x == 0) cuda::store_16(out, cuda::load_16(x + 1));
}
template <bool waits>
void copied_kernel(const float* x, float* out) {
    auto* shared = dynamic_shared<float>();
    if (threadIdx.x % 4 == 0) {
        emulation::start_copy(shared + threadIdx.x, x + threadIdx.x, 16, true);
        emulation::close_copy_group();
        if (waits) emulation::wait_for_copy_groups(0);
    }
    __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + 1) % threads];
}
void warp_kernel(const float* x, float* out) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const float mine = x[threadIdx.x];
    const float other = __shfl_xor_sync(everyone, mine, 16), next = __shfl_down_sync(everyone, mine, 1U),
                before = __shfl_up_sync(everyone, mine, 1U), fourth = __shfl_sync(everyone, mine, 3, 8);
    const bool right = other == x[threadIdx.x ^ 16U] && next == (lane == 31 ? mine : mine + 1) &&
                       before == (lane == 0 ? mine : mine - 1) && fourth == x[threadIdx.x / 8 * 8 + 3];
    const unsigned odd = __ballot_sync(everyone, threadIdx.x % 2);
    const bool votes = odd == 0xAAAAAAAAU && __any_sync(everyone, lane == 5) && !__any_sync(everyone, lane == 40) &&
                       !__all_sync(everyone, lane == 5);
    out[threadIdx.x] = right && votes ? mine : -1.0F;
}
void places_kernel(float* out) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1.0F;
}

}  // namespace

TEST_CASE("a missing barrier gives other results in another order") {
    CHECK(judge_kernel(rotate_kernel<true>, rotated()) == Verdict::fine);
    CHECK(judge_kernel(rotate_kernel<false>, rotated()) == Verdict::differs);
}

TEST_CASE("a copy that is not waited for has not happened") {
    CHECK(judge_kernel(copied_kernel<true>, rotated()) == Verdict::fine);
    CHECK(judge_kernel(copied_kernel<false>, rotated()) == Verdict::differs);
}

TEST_CASE("writes outside of shared memory are found") {
    CHECK(judge_kernel(static_rotate_kernel<0>, rotated()) == Verdict::fine);
    CHECK(judge_kernel(static_rotate_kernel<1>, rotated()) == Verdict::stopped);
    CHECK(judge_kernel(dynamic_past_end_kernel, rotated()) == Verdict::stopped);
}

TEST_CASE("writes outside of global memory are found") {
    CHECK(judge_kernel(global_kernel<0>, rotated()) == Verdict::fine);
    CHECK(judge_kernel(global_kernel<1>, rotated()) == Verdict::stopped);
    CHECK(judge_kernel(global_kernel<-1>, rotated()) == Verdict::stopped);
}

TEST_CASE("shared memory that nobody wrote shows in the result") {
    CHECK(judge_kernel(uninitialised_kernel, rotated()) == Verdict::differs);
    emulation::use({});
    const OnGpu<float> x(one_to(threads)), out(threads);
    launch(uninitialised_kernel, dim3(1), dim3(threads), threads * sizeof(float), nullptr, x.data(), out.data());
    CHECK(std::isnan(out.values().back()));
}

TEST_CASE("barriers that not all threads reach are named") {
    const std::string divergent = message_of(divergent_barrier_kernel), missed = message_of(missed_barrier_kernel);
    CHECK_THAT(divergent, Catch::Contains("message_of") && Catch::Contains("while others wait at test_emulator.cpp:"));
    CHECK_THAT(missed, Catch::Contains("block (0, 0, 0)") &&
                           Catch::Contains("of 64 threads 48 wait at a barrier (test_emulator.cpp:") &&
                           Catch::Contains("16 have ended"));
    CHECK(message_of(rotate_kernel<true>).empty());  // nothing of the faults is left
}

TEST_CASE("operations of a warp that not all lanes reach are named") {
    CHECK_THAT(message_of(missed_shuffle_kernel), Catch::Contains("62 wait for their warp") && Catch::Contains("2 have ended"));
    CHECK_THAT(message_of(divergent_shuffle_kernel), Catch::Contains("other lanes are at"));
    CHECK_THAT(message_of(warp_kernel, 48), Catch::Contains("16 wait for their warp"));  // half a warp
}

TEST_CASE("a misaligned wide access is named") {
    CHECK_THAT(message_of(misaligned_kernel), Catch::Contains("a load of 16 bytes"));
}

TEST_CASE("launches beyond a GPU's limits are refused") {
    const OnGpu<float> x(one_to(threads)), out(threads);
    const auto message = [&](dim3 grid, dim3 block, std::size_t bytes) -> std::string {
        try {
            launch(rotate_kernel<true>, grid, block, bytes, nullptr, x.data(), out.data());
        } catch (const emulation::Fault& fault) {
            return fault.what();
        }
        return "";
    };
    CHECK_THAT(message(dim3(1), dim3(threads), 228 * 1024), Catch::Contains("shared memory"));
    CHECK_THAT(message(dim3(1), dim3(1025), 0), Catch::Contains("1025 threads"));
    CHECK_THAT(message(dim3(1, 65536), dim3(threads), 0), Catch::Contains("blocks"));
    CHECK_THAT(message(dim3(0), dim3(threads), 0), Catch::Contains("blocks"));
    CHECK_THAT(message(dim3(1), dim3(threads), 0), Catch::Contains("without dynamic shared memory"));
    CHECK_THROWS_AS(emulation::lane(), std::logic_error);
}

TEST_CASE("shuffles and votes") {
    CHECK(judge_kernel(warp_kernel, one_to(threads)) == Verdict::fine);
}

TEST_CASE("every thread of every block runs once") {
    const std::vector<float> once(2 * 3 * 2 * 4 * 2 * 3, 1.0F);
    CHECK(judge(once, [&] {
              const OnGpu<float> out(std::vector<float>(once.size(), 0.0F));
              launch(places_kernel, dim3(2, 3, 2), dim3(4, 2, 3), 0, nullptr, out.data());
              return out.values();
          }) == Verdict::fine);
}

TEST_CASE("bfloat16 is rounded to nearest even") {
    const auto rounded = [](float x) { return __bfloat162float(__float2bfloat16_rn(x)); };
    CHECK(rounded(1.0F + 0x1p-8F) == 1.0F);                // a tie: to even, down
    CHECK(rounded(1.0F + 3 * 0x1p-8F) == 1.0F + 0x1p-6F);  // a tie: to even, up
    CHECK(rounded(1.0F + 0x1.8p-8F) == 1.0F + 0x1p-7F);
    CHECK(rounded(-0x1.FFFFFEp127F) == -INFINITY);
    CHECK(std::isnan(rounded(NAN)));
}

TEST_CASE("kernels and launches are counted") {
    const auto before = emulation::counts();
    const OnGpu<float> out(std::vector<float>(48, 0.0F));
    for (int i = 0; i < 2; ++i) launch(places_kernel, dim3(2), dim3(24), 0, nullptr, out.data());
    const auto after = emulation::counts();
    CHECK(after.launches - before.launches == 2);
    CHECK(after.blocks - before.blocks == 4);
    CHECK(after.kernels - before.kernels <= 1);
    CHECK(after.kernels >= 1);
}
