// The rules of Backend::record, for a GPU and its emulation alike: whether work is being recorded, and what is refused then.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace t2i::cuda {

// One for a backend. Used from its thread.
class RecordingState {
  public:
    [[nodiscard]] bool is_active() const { return is_active_; }

    // While work is recorded, each of these throws std::logic_error that begins with the operation's name.
    void refuse_allocation(std::size_t bytes) const;
    void refuse_packing(std::string_view operation) const;
    void refuse_waiting(std::string_view operation) const;      // fence, wait, record, replay
    void refuse_host_read(std::size_t bytes) const;             // a copy to the host
    void refuse_pageable_copy(std::size_t bytes) const;         // a copy from host memory that is not staging memory
    void refuse_unplanned(const std::string& operation) const;  // named with its shapes: "linear [256, 384] …"
    // Memory cannot be given back then either, and a destructor cannot throw: Session::finish() does.
    void note_release() noexcept { has_released_ = has_released_ || is_active_; }

    // A recording is being made for as long as this lives.
    class Session {
      public:
        explicit Session(RecordingState& state);  // throws std::logic_error within another one
        ~Session() { state_.is_active_ = false; }
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;
        // Call when the work is recorded. Throws std::logic_error when memory was given back meanwhile.
        void finish() const;

      private:
        RecordingState& state_;
    };

    // Each recording holds a share for as long as it lives.
    using Share = std::shared_ptr<const void>;
    [[nodiscard]] Share share() const { return recordings_; }
    // Whether a recording is alive, so that memory it may use must stay.
    [[nodiscard]] bool has_recordings() const { return recordings_.use_count() > 1; }

  private:
    bool is_active_ = false, has_released_ = false;
    std::shared_ptr<int> recordings_ = std::make_shared<int>(0);
};

}  // namespace t2i::cuda
