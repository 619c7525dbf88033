// Wall-clock spans of stages, steps and layers, and the work done: for `t2i bench` and trace files. The RAII of a span is
// TraceSpan in ops/exec_context.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/shape.h"

namespace t2i {

// Work is counted on the thread that computes; spans may come from any thread.
class Tracer {
  public:
    struct Span {
        std::string name;
        double start_ms, duration_ms;       // start: since the tracer was made
        int thread = 0;                     // 0: the first that added a span, 1: the next, …
        std::optional<std::int64_t> index;  // of a step, a block
        std::optional<Shape> shape;         // of what the span worked on
    };

    // Spans are dropped until they are asked for: counting work must cost nothing.
    void keep_spans() { keeps_spans_ = true; }
    [[nodiscard]] bool keeps_spans() const { return keeps_spans_; }
    [[nodiscard]] double now_ms() const {
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - origin_).count();
    }
    // Sets the thread. Does nothing unless spans are kept.
    void add(Span span);
    [[nodiscard]] std::vector<Span> spans() const;

    void add_flops(double flops) { flops_ += flops; }
    [[nodiscard]] double flops() const { return flops_; }  // 1 multiply-add = 2, of products and convolutions

  private:
    [[nodiscard]] int number_of_this_thread();

    std::chrono::steady_clock::time_point origin_ = std::chrono::steady_clock::now();
    bool keeps_spans_ = false;
    mutable std::mutex mutex_;  // of what follows
    std::vector<Span> spans_;
    std::vector<std::thread::id> threads_;
    double flops_ = 0;
};

}  // namespace t2i
