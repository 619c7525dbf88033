#include "backend/cuda/queue_clock.h"

namespace t2i::cuda {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds anchor_age{1};

}  // namespace

Timestamp QueueClock::timestamp() {
    if (!anchor_ || Clock::now() - anchor_->time > anchor_age) {
        auto anchor = std::make_shared<Anchor>();
        anchor->event.record(memory_->stream());
        anchor->event.synchronize();
        anchor->time = Clock::now();
        anchor_ = std::move(anchor);
    }
    Point& point = points_[++last_];
    point.since = anchor_;
    point.event.record(memory_->stream());
    return last_;
}

Clock::time_point QueueClock::time_of(Timestamp timestamp) {
    const auto found = points_.find(timestamp);
    T2I_CHECK(found != points_.end(), "the time of a timestamp can be read once");
    const Point point = std::move(found->second);
    points_.erase(found);
    return point.since->time + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<float, std::milli>(elapsed_ms(point.since->event, point.event)));
}

}  // namespace t2i::cuda
