// The bar on stderr: step, it/s, remaining time. Draws nothing unless stderr is a terminal.
#pragma once

#include <chrono>

#include "t2i/pipeline.h"

namespace t2i::app {

class ProgressBar {
  public:
    explicit ProgressBar(bool enabled) : enabled_(enabled) {}
    void update(const Progress& progress);
    void clear();  // before anything else is printed

  private:
    using Clock = std::chrono::steady_clock;
    bool enabled_, drawn_ = false;
    Clock::time_point start_ = Clock::now(), last_draw_{};
};

}  // namespace t2i::app
