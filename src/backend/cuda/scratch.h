// Device memory for what an operation makes on its way to its result.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "backend/cuda/device_memory.h"

namespace t2i::cuda {

// Recordings keep its address: it only grows, not within a recording, and what it has outgrown stays while one may use that.
class Scratch {
  public:
    explicit Scratch(std::shared_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {}
    // At least so much, aligned to 256 bytes, until the next call. Throws Error{resource}, std::logic_error within a recording
    // that needs more than the work before it.
    [[nodiscard]] std::byte* reserve(std::size_t bytes);

  private:
    std::shared_ptr<DeviceMemory> memory_;
    DeviceBlock block_;
    bool is_recorded_ = false;  // block_ was used within a recording
    std::vector<DeviceBlock> outgrown_;
};

}  // namespace t2i::cuda
