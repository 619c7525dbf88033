// Wall-clock spans of stages and layers, for `t2i bench` and, later, trace files.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace t2i {

class Tracer {
  public:
    struct Span {
        std::string name;
        double start_ms, duration_ms;  // start: since the tracer was made
    };
    [[nodiscard]] double now_ms() const {
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - origin_).count();
    }
    void add(std::string name, double start_ms) { spans_.push_back({std::move(name), start_ms, now_ms() - start_ms}); }
    void add_flops(double flops) { flops_ += flops; }
    [[nodiscard]] double flops() const { return flops_; }  // 1 multiply-add = 2, of products and convolutions
    void clear() {
        spans_.clear();
        flops_ = 0;
    }
    [[nodiscard]] const std::vector<Span>& spans() const { return spans_; }

  private:
    std::chrono::steady_clock::time_point origin_ = std::chrono::steady_clock::now();
    std::vector<Span> spans_;
    double flops_ = 0;
};

// Records its own lifetime under `name`; does nothing without a tracer.
class TraceSpan {
  public:
    TraceSpan(Tracer* tracer, const char* name) : tracer_(tracer), name_(name), start_ms_(tracer ? tracer->now_ms() : 0) {}
    ~TraceSpan() {
        if (tracer_) tracer_->add(name_, start_ms_);
    }
    TraceSpan(const TraceSpan&) = delete;
    TraceSpan& operator=(const TraceSpan&) = delete;

  private:
    Tracer* tracer_;
    const char* name_;
    double start_ms_;
};

}  // namespace t2i
