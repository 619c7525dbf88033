#include "core/trace.h"

#include <algorithm>

namespace t2i {

void Tracer::add(Span span) {
    if (!keeps_spans_) return;
    const std::lock_guard lock(mutex_);
    span.thread = number_of_this_thread();
    spans_.push_back(std::move(span));
}

void Tracer::add_queued(Span span, Times times) {
    if (!keeps_spans_) return;
    const std::lock_guard lock(mutex_);
    span.thread = queue_thread;
    queued_.emplace_back(std::move(span), std::move(times));
}

void Tracer::settle() {
    const std::lock_guard lock(mutex_);
    for (auto& [span, times] : queued_) {
        const auto [start, end] = times();
        span.start_ms = ms_at(start);
        span.duration_ms = ms_at(end) - span.start_ms;
        spans_.push_back(std::move(span));
    }
    queued_.clear();
}

void Tracer::drop_queued() {
    const std::lock_guard lock(mutex_);
    queued_.clear();
}

std::vector<Tracer::Span> Tracer::spans() const {
    const std::lock_guard lock(mutex_);
    return spans_;
}

int Tracer::number_of_this_thread() {
    const auto id = std::this_thread::get_id();
    auto known = std::ranges::find(threads_, id);
    if (known == threads_.end()) known = threads_.insert(known, id);
    return static_cast<int>(known - threads_.begin());
}

}  // namespace t2i
