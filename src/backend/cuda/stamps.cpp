#include "backend/cuda/stamps.h"

namespace t2i::cuda {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds anchor_age{1};

}  // namespace

WorkStamp Stamps::stamp() {
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

Clock::time_point Stamps::reached(WorkStamp stamp) {
    const auto found = points_.find(stamp);
    T2I_CHECK(found != points_.end(), "a stamp is asked for once");
    const Point point = std::move(found->second);
    points_.erase(found);
    return point.since->time + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<float, std::milli>(elapsed_ms(point.since->event, point.event)));
}

}  // namespace t2i::cuda
