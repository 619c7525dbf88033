// One GPU: its stream and its memory. Shared by the backend and by every buffer of it, so that a buffer may outlive the
// backend and is still given back.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "backend/gpu/recording_state.h"
#include "core/tensor.h"
#include "ops/backend.h"
#include "t2i/log.h"

namespace t2i::cuda {

class DeviceMemory {
  public:
    // Throws Error{resource}: no driver, no such GPU, no code of ours for it.
    // log: for what fails where nothing may be thrown.
    DeviceMemory(int device, Log log);
    ~DeviceMemory();
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    // CUDA keeps a current device for each host thread, and the backend may be called from another than made it.
    void make_current() const;

    // A failure where nothing may be thrown, as in destructors; nothing for a success.
    void warn(cudaError_t status, const char* doing) const noexcept;
    [[nodiscard]] const Log& log() const { return log_; }

    [[nodiscard]] int device() const { return device_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    // All work is done in its order. Makes the GPU current on the way, so that whoever queues work need not.
    [[nodiscard]] cudaStream_t stream() const {
        make_current();
        return stream_;
    }

    // Whether the work of the stream is being recorded: then memory is neither taken nor given back.
    [[nodiscard]] RecordingState& recording() { return recording_; }

    // Aligned to 256 bytes, not initialised, ordered on the stream: what was queued before a give_back may still use it.
    // Throws Error{resource} saying how much was needed and how much there is, std::logic_error within a recording.
    [[nodiscard]] void* take(std::size_t bytes);
    void give_back(void* memory) noexcept;
    [[nodiscard]] Backend::Memory free_and_total() const;

  private:
    [[nodiscard]] cudaError_t try_take(std::size_t bytes, void** memory) const;

    int device_ = 0;
    std::string name_;
    Log log_;
    cudaStream_t stream_ = nullptr;
    RecordingState recording_;
    cudaMemPool_t pool_ = nullptr;  // null: the driver has no pools, memory is taken and given back directly
};

// Memory taken for as long as this lives. Empty when default-made.
class DeviceBlock {
  public:
    DeviceBlock() = default;
    DeviceBlock(std::shared_ptr<DeviceMemory> memory, std::size_t bytes);
    DeviceBlock(DeviceBlock&& other) noexcept { swap(other); }
    DeviceBlock& operator=(DeviceBlock&& other) noexcept {
        DeviceBlock moved(std::move(other));
        swap(moved);
        return *this;
    }
    ~DeviceBlock() {
        if (data_) memory_->give_back(data_);
    }
    DeviceBlock(const DeviceBlock&) = delete;
    DeviceBlock& operator=(const DeviceBlock&) = delete;
    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    void swap(DeviceBlock& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }
    std::shared_ptr<DeviceMemory> memory_;
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

// A CUDA event without timing unless asked for.
class Event {
  public:
    explicit Event(bool times = false);
    ~Event();
    Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
    Event& operator=(Event&& other) noexcept {
        std::swap(event_, other.event_);
        return *this;
    }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void record(cudaStream_t stream) const;
    void synchronize() const;  // throws what failed in the work before it
    [[nodiscard]] cudaEvent_t get() const { return event_; }

  private:
    cudaEvent_t event_ = nullptr;
};

[[nodiscard]] float elapsed_ms(const Event& from, const Event& to);

// Time of `work` on the stream, milliseconds, averaged over `times` calls after one that is not timed.
template <typename Work>
[[nodiscard]] float time_ms(cudaStream_t stream, int times, Work work) {
    const Event from(true), to(true);
    work();
    from.record(stream);
    for (int i = 0; i < times; ++i) work();
    to.record(stream);
    to.synchronize();
    return elapsed_ms(from, to) / static_cast<float>(times);
}

}  // namespace t2i::cuda
