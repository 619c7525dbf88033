// Which of several algorithms for a product is the fastest, and whether its rows stand alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/matmuls.h"

namespace t2i::cuda {

// Random activations for a product's weight, and room for its results. Zeros would flatter: a GPU runs faster on them.
class TrialData {
  public:
    // `one_size`: only the product's own number of rows counts.
    TrialData(std::shared_ptr<DeviceMemory> memory, const Matmul& p, bool one_size);

    // Numbers of rows to time at: one picture with guidance, a few, a full batch; as many as have room in a bounded scratch.
    [[nodiscard]] const std::vector<std::int64_t>& timed_rows() const { return timed_; }
    // Those and the odd ones of checks.
    [[nodiscard]] const std::vector<std::int64_t>& all_rows() const { return all_; }
    // The product of rows [begin, begin + count); few rows and whole batches have results of their own.
    [[nodiscard]] Matmul matmul(std::int64_t begin, std::int64_t count) const;
    [[nodiscard]] std::int64_t most_rows() const { return timed_.back(); }
    // The results of matmul(begin, count), or those rows of the largest product's, on the host.
    [[nodiscard]] std::vector<std::byte> result(std::int64_t count) const;
    [[nodiscard]] std::vector<std::byte> rows_of_largest(std::int64_t begin, std::int64_t count) const;
    [[nodiscard]] cudaStream_t stream() const { return memory_->stream(); }

  private:
    [[nodiscard]] std::vector<std::byte> to_host(const std::byte* from, std::int64_t rows) const;
    std::shared_ptr<DeviceMemory> memory_;
    Matmul p_;
    std::vector<std::int64_t> timed_, all_;
    DeviceBlock x_, largest_, part_;
};

// Queues rows [begin, begin + count) with algorithm i.
using RunRows = std::function<void(std::size_t i, std::int64_t begin, std::int64_t count)>;

// Indices of `count` algorithms, best first: by the mean over timed_rows of the time relative to the fastest there. Those
// within 2 % of the best keep the library's order, so that noise in the timing does not decide.
[[nodiscard]] std::vector<std::size_t> by_time(const TrialData& data, std::size_t count, const RunRows& run);

// Are the bytes of a row the same, whether few or many rows are multiplied and wherever it stands among them?
[[nodiscard]] bool rows_stand_alone(const TrialData& data, std::size_t i, const RunRows& run);

}  // namespace t2i::cuda
