// The bar on stderr: step, it/s, remaining time. Draws nothing unless stderr is a terminal that can.
#pragma once

#include <chrono>
#include <string>

#include "app/status_line.h"
#include "t2i/pipeline.h"

namespace t2i::app {

// "picture 2/4 [######------] step 10/20  3.1 it/s  12 s left", with what there is room for in so many columns: the bar gets
// shorter, then goes, then the end of the line does.
[[nodiscard]] std::string progress_text(const Progress& progress, double seconds, int columns);

class ProgressBar {
  public:
    explicit ProgressBar(bool enabled) : enabled_(enabled) {}
    void update(const Progress& progress);
    void clear() { line_.clear(); }  // before anything else is printed

  private:
    using Clock = std::chrono::steady_clock;
    bool enabled_;
    StatusLine line_;
    Clock::time_point start_ = Clock::now(), last_draw_{};
};

}  // namespace t2i::app
