// Timestamps in the GPU's queue, translated to the host's clock: for traces.
#pragma once

#include <chrono>
#include <map>
#include <memory>

#include "backend/cuda/device_memory.h"
#include "ops/backend.h"

namespace t2i::cuda {

class QueueClock {
  public:
    explicit QueueClock(std::shared_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {}

    // Now and then it waits for the GPU, to compare the two clocks. Throws Error{resource}.
    [[nodiscard]] Timestamp timestamp();
    // Of a timestamp whose work is done; forgets it.
    [[nodiscard]] std::chrono::steady_clock::time_point time_of(Timestamp timestamp);

  private:
    // An event whose time is known on both clocks. CUDA tells times between two events alone, in f32: over a second that is
    // exact to a tenth of a microsecond.
    struct Anchor {
        Event event{true};
        std::chrono::steady_clock::time_point time;
    };
    struct Point {
        Event event{true};
        std::shared_ptr<const Anchor> since;
    };
    std::shared_ptr<DeviceMemory> memory_;
    std::shared_ptr<const Anchor> anchor_;
    std::map<Timestamp, Point> points_;
    Timestamp last_ = 0;
};

}  // namespace t2i::cuda
