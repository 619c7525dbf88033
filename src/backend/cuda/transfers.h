// Copies between host and GPU, and fences in the order of the work.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "ops/backend.h"

namespace t2i::cuda {

// Host memory that the GPU reads and writes by itself.
class PinnedBlock {
  public:
    PinnedBlock() = default;
    PinnedBlock(std::shared_ptr<const DeviceMemory> memory, std::size_t bytes);  // throws Error{resource}
    ~PinnedBlock();
    PinnedBlock(PinnedBlock&& other) noexcept : memory_(std::move(other.memory_)), data_(std::exchange(other.data_, nullptr)) {}
    PinnedBlock& operator=(PinnedBlock&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        return *this;
    }
    PinnedBlock(const PinnedBlock&) = delete;
    PinnedBlock& operator=(const PinnedBlock&) = delete;
    [[nodiscard]] void* data() const { return data_; }

  private:
    std::shared_ptr<const DeviceMemory> memory_;  // of the GPU: it knows where to warn
    void* data_ = nullptr;
};

// The work's stream does operations in order. Results go to the host on a second stream, so that the next operations need
// not wait for the bus: they are first copied to staging memory on the GPU, at the memory's speed, and from there.
class Transfers {
  public:
    explicit Transfers(std::shared_ptr<DeviceMemory> memory);
    ~Transfers();
    Transfers(const Transfers&) = delete;
    Transfers& operator=(const Transfers&) = delete;

    // `from` may change when it returns; what is queued afterwards sees the copy. Any host memory; within a recording pinned
    // memory alone, which each replay reads.
    void to_gpu(const void* from, void* to, std::size_t bytes);
    // Done when it returns, after all work queued before.
    void to_host(const void* from, void* to, std::size_t bytes);
    void within_gpu(const void* from, void* to, std::size_t bytes);
    // `from` may be overwritten by what is queued afterwards; `to` (pinned, else this waits) holds it when a later fence is.
    void to_host_queued(const void* from, void* to, std::size_t bytes);

    [[nodiscard]] Fence fence();
    // Throws Error{resource} when anything before the fence failed.
    void wait(Fence fence);

  private:
    struct Upload {
        PinnedBlock memory;
        Event free;  // done when the GPU has read it
    };
    struct DeviceStaging {
        DeviceBlock memory;
        Event filled, free;
    };
    struct PendingFence {
        Fence fence;
        Event done;
    };
    std::shared_ptr<DeviceMemory> memory_;
    cudaStream_t to_host_stream_ = nullptr;
    std::array<Upload, 4> uploads_;
    std::array<DeviceStaging, 4> downloads_;
    std::size_t next_upload_ = 0, next_download_ = 0;
    Event work_done_;  // by the work's stream, for the other one to wait for
    Fence last_fence_ = 0;
    std::deque<PendingFence> fences_;  // not yet waited for, oldest first
    std::vector<Event> spare_events_;
};

}  // namespace t2i::cuda
