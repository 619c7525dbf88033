#include "backend/cuda/matmul_search.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "backend/cuda/status.h"
#include "core/dtype.h"

namespace t2i::cuda {

namespace {

constexpr std::size_t max_trial_bytes = std::size_t{512} << 20;
constexpr std::array<std::int64_t, 3> usual_rows{512, 4096, 16384};
// A tile's rows, a few less and a few more than one.
constexpr std::array<std::int64_t, 5> odd_rows{1, 3, 17, 129, 300};
constexpr int timings = 5;

// Numbers in (-1, 1) with no pattern: a linear congruential generator is random enough to time and compare by.
std::vector<std::byte> random_bytes(std::int64_t elements, DType dtype) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(elements) * size_of(dtype));
    std::uint32_t state = 12345;
    for (std::int64_t i = 0; i < elements; ++i) {
        state = state * 1664525U + 1013904223U;
        const float value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
        if (dtype == DType::bf16) {
            const bf16 rounded = to_bf16(value);
            std::memcpy(bytes.data() + 2 * i, &rounded, 2);
        } else {
            std::memcpy(bytes.data() + 4 * i, &value, 4);
        }
    }
    return bytes;
}

}  // namespace

TrialData::TrialData(std::shared_ptr<DeviceMemory> memory, const Matmul& p, bool one_size) : memory_(std::move(memory)), p_(p) {
    const auto in_bytes = static_cast<std::size_t>(p.k) * size_of(p.in),
               out_bytes = static_cast<std::size_t>(p.n) * size_of(p.out_type);
    if (one_size) {
        timed_ = all_ = {p.m};
    } else {
        for (const std::int64_t m : usual_rows)
            if (timed_.empty() || static_cast<std::size_t>(m) * (in_bytes + out_bytes) <= max_trial_bytes) timed_.push_back(m);
        all_ = timed_;
        all_.insert(all_.end(), odd_rows.begin(), odd_rows.end());
    }
    const auto rows = static_cast<std::size_t>(most_rows());
    x_ = DeviceBlock(memory_, rows * in_bytes);
    largest_ = DeviceBlock(memory_, rows * out_bytes);
    part_ = DeviceBlock(memory_, rows * out_bytes);
    // A block of random rows from the host, then copies of it: an odd number of rows, so that no tile repeats another.
    const std::int64_t seed_rows = std::min<std::int64_t>(most_rows(), 331);
    const auto seed = random_bytes(seed_rows * p.k, p.in);
    check(cudaMemcpyAsync(x_.data(), seed.data(), seed.size(), cudaMemcpyHostToDevice, stream()), "copy to the GPU");
    check(cudaStreamSynchronize(stream()), "copy to the GPU");
    for (std::size_t done = seed.size(), all = rows * in_bytes; done < all; done += seed.size())
        check(cudaMemcpyAsync(static_cast<std::byte*>(x_.data()) + done, x_.data(), std::min(seed.size(), all - done),
                              cudaMemcpyDeviceToDevice, stream()),
              "copy on the GPU");
}

Matmul TrialData::matmul(std::int64_t begin, std::int64_t count) const {
    Matmul q = p_;
    q.m = count;
    q.x = static_cast<const std::byte*>(x_.data()) + static_cast<std::size_t>(begin * p_.k) * size_of(p_.in);
    q.out = count == most_rows() ? largest_.data() : part_.data();
    return q;
}

std::vector<std::byte> TrialData::to_host(const std::byte* from, std::int64_t rows) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(rows * p_.n) * size_of(p_.out_type));
    check(cudaMemcpyAsync(bytes.data(), from, bytes.size(), cudaMemcpyDeviceToHost, stream()), "copy from the GPU");
    check(cudaStreamSynchronize(stream()), "copy from the GPU");
    return bytes;
}

std::vector<std::byte> TrialData::result(std::int64_t count) const {
    return to_host(static_cast<const std::byte*>(part_.data()), count);
}

std::vector<std::byte> TrialData::rows_of_largest(std::int64_t begin, std::int64_t count) const {
    return to_host(static_cast<const std::byte*>(largest_.data()) + static_cast<std::size_t>(begin * p_.n) * size_of(p_.out_type),
                   count);
}

std::vector<std::size_t> by_time(const TrialData& data, std::size_t count, const RunRows& run) {
    std::vector<double> scores(count, 0.0);
    for (const std::int64_t m : data.timed_rows()) {
        std::vector<double> ms(count);
        for (std::size_t i = 0; i < count; ++i) ms[i] = time_ms(data.stream(), timings, [&] { run(i, 0, m); });
        const double fastest = count == 0 ? 1.0 : *std::ranges::min_element(ms);
        for (std::size_t i = 0; i < count; ++i) scores[i] += ms[i] / std::max(fastest, 1e-6);
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const double best = count == 0 ? 0.0 : *std::ranges::min_element(scores);
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return scores[i] <= 1.02 * best ? best : scores[i]; });
    return order;
}

bool rows_stand_alone(const TrialData& data, std::size_t i, const RunRows& run) {
    const std::int64_t most = data.most_rows();
    run(i, 0, most);
    std::vector<std::int64_t> counts(odd_rows.begin(), odd_rows.end());
    for (const std::int64_t m : data.timed_rows())
        if (m < most) counts.push_back(m);
    for (const std::int64_t count : counts)
        for (const std::int64_t begin : {std::int64_t{0}, std::int64_t{100}, most - count}) {
            if (begin + count > most) continue;
            run(i, begin, count);
            if (data.result(count) != data.rows_of_largest(begin, count)) return false;
        }
    return true;
}

}  // namespace t2i::cuda
