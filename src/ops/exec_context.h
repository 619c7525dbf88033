// What a forward pass needs besides its tensors; passed down, never global.
#pragma once

#include "core/arena.h"
#include "core/trace.h"
#include "ops/backend.h"

namespace t2i {

struct ExecContext {
    Backend& backend;
    Arena& scratch;
    Tracer* tracer = nullptr;  // null: nothing is recorded
};

// A stage, step or layer, for as long as it lives: a span of the tracer where that keeps spans, and a range of the backend
// for its profilers. On a backend with a queue that is the time of handing the work over, and a second span, of the queue,
// the time of doing it.
class TraceSpan {
  public:
    // `name` outlives the span.
    TraceSpan(Tracer* tracer, const char* name) : TraceSpan(tracer, nullptr, {.name = name}) {}
    TraceSpan(const ExecContext& ctx, const char* name) : TraceSpan(ctx.tracer, &ctx.backend, {.name = name}) {}
    TraceSpan(const ExecContext& ctx, const char* name, const Shape& shape)
        : TraceSpan(ctx.tracer, &ctx.backend, {.name = name, .shape = &shape}) {}
    TraceSpan(const ExecContext& ctx, const char* name, std::size_t index)
        : TraceSpan(ctx.tracer, &ctx.backend, {.name = name, .index = static_cast<std::int64_t>(index)}) {}
    ~TraceSpan() {
        if (backend_) backend_->end_range();
        if (!tracer_) return;
        span_.duration_ms = tracer_->now_ms() - span_.start_ms;
        if (begin_ != 0)
            if (const Timestamp end = backend_->timestamp(); end != 0)
                tracer_->add_queued(span_, [backend = backend_, begin = begin_, end] {
                    return std::pair{backend->time_of(begin), backend->time_of(end)};
                });
        tracer_->add(std::move(span_));
    }
    TraceSpan(const TraceSpan&) = delete;
    TraceSpan& operator=(const TraceSpan&) = delete;

  private:
    struct What {
        const char* name;
        const Shape* shape = nullptr;
        std::optional<std::int64_t> index = {};
    };
    TraceSpan(Tracer* tracer, Backend* backend, const What& what)
        : tracer_(tracer && tracer->keeps_spans() ? tracer : nullptr), backend_(backend) {
        if (backend_) backend_->begin_range(what.name);
        if (!tracer_) return;
        span_.name = what.name;
        span_.index = what.index;
        if (what.shape) span_.shape = *what.shape;
        span_.start_ms = tracer_->now_ms();
        if (backend_) begin_ = backend_->timestamp();
    }

    Tracer* tracer_;  // null: not recorded
    Backend* backend_;
    Timestamp begin_ = 0;
    Tracer::Span span_{};
};

}  // namespace t2i
