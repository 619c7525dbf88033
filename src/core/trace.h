// Wall-clock spans of stages, steps and layers, and the work done: for `t2i bench` and trace files. The RAII of a span is
// TraceSpan in ops/exec_context.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/shape.h"

namespace t2i {

// Work is counted on the thread that computes; spans may come from any thread.
class Tracer {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr int queue_thread = -1;  // of spans whose work waited in a backend's queue
    struct Span {
        std::string name;
        double start_ms, duration_ms;       // start: since the tracer was made
        int thread = 0;                     // 0: the first that added a span, 1: the next, …; or queue_thread
        std::optional<std::int64_t> index;  // of a step, a block
        std::optional<Shape> shape;         // of what the span worked on
    };

    // Spans are dropped until they are asked for: counting work must cost nothing.
    void keep_spans() { keeps_spans_ = true; }
    [[nodiscard]] bool keeps_spans() const { return keeps_spans_; }
    [[nodiscard]] double now_ms() const { return ms_at(Clock::now()); }
    // Sets the thread. Does nothing unless spans are kept.
    void add(Span span);
    // A span of a backend with a queue, whose start and end are known when its work is done. Does nothing unless spans are
    // kept.
    using Times = std::function<std::pair<Clock::time_point, Clock::time_point>()>;
    void add_queued(Span span, Times times);
    void settle();                                  // asks for the times of all queued spans: their work is done
    void drop_queued();                             // forgets them: nobody can be asked any more
    [[nodiscard]] std::vector<Span> spans() const;  // without those still queued

    void add_flops(double flops) { flops_ += flops; }
    [[nodiscard]] double flops() const { return flops_; }  // 1 multiply-add = 2, of products and convolutions

  private:
    [[nodiscard]] int number_of_this_thread();
    [[nodiscard]] double ms_at(Clock::time_point time) const {
        return std::chrono::duration<double, std::milli>(time - origin_).count();
    }

    Clock::time_point origin_ = Clock::now();
    bool keeps_spans_ = false;
    mutable std::mutex mutex_;  // of what follows
    std::vector<Span> spans_;
    std::vector<std::pair<Span, Times>> queued_;
    std::vector<std::thread::id> threads_;
    double flops_ = 0;
};

}  // namespace t2i
