#include "pipeline/trace_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/files.h"

namespace t2i {
namespace {

using Json = nlohmann::ordered_json;

constexpr int process = 1;  // the only one; the format wants a number

// Viewers show tracks by number: the queue's comes last.
int track(int thread) {
    constexpr int last = 1000;
    return thread == Tracer::queue_thread ? last : thread;
}

Json name_event(const char* what, int thread, const std::string& name) {
    return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

Json span_event(const Tracer::Span& span) {
    constexpr double us_per_ms = 1000.0;
    Json args = Json::object();
    if (span.index) args["index"] = *span.index;
    if (span.shape) args["shape"] = span.shape->text();
    return {{"name", span.name},
            {"cat", "t2i"},
            {"ph", "X"},
            {"ts", span.start_ms * us_per_ms},
            {"dur", span.duration_ms * us_per_ms},
            {"pid", process},
            {"tid", track(span.thread)},
            {"args", std::move(args)}};
}

}  // namespace

std::string trace_json(const Tracer& tracer, const std::string& process_name) {
    auto spans = tracer.spans();
    // Viewers nest by time; a parent ends after its children and so was added after them.
    std::ranges::stable_sort(spans, {}, &Tracer::Span::start_ms);
    int threads = 0;
    for (const auto& span : spans) threads = std::max(threads, span.thread + 1);
    Json events = Json::array({name_event("process_name", 0, process_name)});
    for (int t = 0; t < threads; ++t)
        events.push_back(name_event("thread_name", t, t == 0 ? "main" : "thread " + std::to_string(t)));
    if (std::ranges::any_of(spans, [](const auto& span) { return span.thread == Tracer::queue_thread; }))
        events.push_back(name_event("thread_name", track(Tracer::queue_thread), "GPU"));
    for (const auto& span : spans) events.push_back(span_event(span));
    return Json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}.dump() + "\n";
}

void write_trace_file(const std::string& path, const Tracer& tracer, const std::string& process_name) {
    write_file_atomically(path, trace_json(tracer, process_name));
}

}  // namespace t2i
