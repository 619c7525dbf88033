// Memory of packed weights, which may be kept when they go.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "core/tensor.h"

namespace t2i::cpu {

class WeightMemory {
  public:
    // Not zero-filled. Weights may go on any thread, and outlive this. Throws Error{resource}.
    [[nodiscard]] Buffer take(std::size_t bytes) {
        Buffer memory = kept_->take(bytes);
        if (memory.data() == nullptr) memory = Buffer::host(bytes, Buffer::Fill::none);
        void* const data = memory.data();
        auto owner = std::make_shared<Buffer>(std::move(memory));
        return {data, bytes, Device::host, [owner, kept = kept_](void*) { kept->give_back(std::move(*owner)); }};
    }
    void reuse(bool reuse) { kept_->reuse(reuse); }

  private:
    class Kept {
      public:
        Buffer take(std::size_t bytes) {
            const std::lock_guard lock(mutex_);
            const auto found = buffers_.find(bytes);
            if (found == buffers_.end()) return {};
            Buffer buffer = std::move(found->second);
            buffers_.erase(found);
            return buffer;
        }
        void give_back(Buffer buffer) {
            const std::lock_guard lock(mutex_);
            if (reuses_) buffers_.emplace(buffer.bytes(), std::move(buffer));
        }
        void reuse(bool reuse) {
            const std::lock_guard lock(mutex_);
            reuses_ = reuse;
            if (!reuse) buffers_.clear();
        }

      private:
        std::mutex mutex_;                            // of what follows
        std::multimap<std::size_t, Buffer> buffers_;  // of each size
        bool reuses_ = false;
    };
    std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

}  // namespace t2i::cpu
