// Who may ask a run to stop before its end.
#pragma once

namespace t2i::batch {

// The run finishes what is in flight. From any thread.
class Interrupt {
  public:
    virtual ~Interrupt() = default;
    [[nodiscard]] virtual bool requested() const = 0;
    // Becomes readable when requested: for poll(). Below 0: never.
    [[nodiscard]] virtual int fd() const = 0;
};

}  // namespace t2i::batch
