// SIGINT and SIGTERM: the first asks the run to finish what is in flight, a second one ends the process at once.
#pragma once

namespace t2i::batch {

// One at a time in a process; takes the handlers over until it goes.
class Interrupt {
  public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    [[nodiscard]] bool requested() const;
    // Becomes readable when requested: for poll().
    [[nodiscard]] int fd() const;
};

}  // namespace t2i::batch
