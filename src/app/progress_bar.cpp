#include "app/progress_bar.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace t2i::app {

std::string progress_text(const Progress& p, double seconds, int columns) {
    constexpr int longest = 24, shortest = 4;  // of the bar
    const int done = p.image * p.steps + p.step, total = p.images * p.steps;
    const double rate = seconds > 0 ? done / seconds : 0, left = rate > 0 ? (total - done) / rate : 0;
    std::array<char, 64> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "step %d/%d  %.1f it/s  %.0f s left", p.step, p.steps, rate, left);
    const std::string which =
        p.images > 1 ? "picture " + std::to_string(p.image + 1) + "/" + std::to_string(p.images) + " " : std::string();
    const int room = columns - static_cast<int>(which.size() + std::string_view(numbers.data()).size()) - 3;  // "[", "] "
    std::string bar;
    if (room >= shortest) {
        const int length = std::min(room, longest), filled = done * length / total;
        bar = "[" + std::string(static_cast<std::size_t>(filled), '#') +
              std::string(static_cast<std::size_t>(length - filled), '-') + "] ";
    }
    return fitted(which + bar + numbers.data(), columns);
}

void ProgressBar::update(const Progress& p) {
    if (!enabled_ || !line_.draws()) return;
    const auto now = Clock::now();
    // Ten redraws a second are enough for the eye and cost nothing over a slow terminal line.
    if ((p.image * p.steps + p.step < p.images * p.steps) && now - last_draw_ < std::chrono::milliseconds(100)) return;
    last_draw_ = now;
    line_.draw(progress_text(p, std::chrono::duration<double>(now - start_).count(), terminal_columns() - 1));
}

}  // namespace t2i::app
