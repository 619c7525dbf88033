// SIGINT, SIGTERM and SIGHUP: the first asks to finish what is in flight, a second one ends the process at once.
#pragma once

#include "batch/interrupt.h"

namespace t2i::app {

// One at a time in a process; takes the handlers over until it goes. A signal that is ignored, as nohup and a shell's background
// jobs leave it, stays ignored.
class Signals final : public batch::Interrupt {
  public:
    Signals();  // throws Error{resource}
    ~Signals() override;
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    [[nodiscard]] bool requested() const override;
    [[nodiscard]] int fd() const override;
};

}  // namespace t2i::app
