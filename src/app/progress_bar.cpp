#include "app/progress_bar.h"

#include <cstdio>
#include <string>

namespace t2i::app {

void ProgressBar::update(const Progress& p) {
    if (!enabled_) return;
    const auto now = Clock::now();
    const int done = p.image * p.steps + p.step, total = p.images * p.steps;
    // Ten redraws a second are enough for the eye and cost nothing over a slow terminal line.
    if (done < total && now - last_draw_ < std::chrono::milliseconds(100)) return;
    last_draw_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = seconds > 0 ? done / seconds : 0;
    constexpr int width = 24;
    const int filled = done * width / total;
    std::string bar(static_cast<std::size_t>(filled), '#');
    bar.resize(width, '-');
    const double left = rate > 0 ? (total - done) / rate : 0;
    if (p.images > 1) std::fprintf(stderr, "\r\033[Kpicture %d/%d ", p.image + 1, p.images);
    else std::fprintf(stderr, "\r\033[K");
    std::fprintf(stderr, "[%s] step %d/%d  %.1f it/s  %.0f s left", bar.c_str(), p.step, p.steps, rate, left);
    std::fflush(stderr);
    drawn_ = true;
}

void ProgressBar::clear() {
    if (!drawn_) return;
    std::fprintf(stderr, "\r\033[K");
    std::fflush(stderr);
    drawn_ = false;
}

}  // namespace t2i::app
