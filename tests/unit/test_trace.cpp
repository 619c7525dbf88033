// Spans, and the trace file made of them.
#include <nlohmann/json.hpp>
#include <thread>

#include "core/trace.h"
#include "ops/exec_context.h"
#include "pipeline/trace_file.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {

TEST_CASE("trace: a span without a tracer, or with one that was not asked, leaves nothing") {
    {
        const TraceSpan span(nullptr, "a");
    }
    Tracer tracer;
    {
        const TraceSpan span(&tracer, "a");
    }
    CHECK(tracer.spans().empty());
}

TEST_CASE("trace: spans nest, carry index and shape, and end in the order of their ends") {
    Machine machine("ref");
    Tracer tracer;
    tracer.keep_spans();
    const ExecContext ctx{*machine.backend, machine.scratch, &tracer};
    {
        const TraceSpan outer(ctx, "step", std::size_t{3});
        const TraceSpan inner(ctx, "attention", Shape{2, 256});
    }
    const auto spans = tracer.spans();
    REQUIRE(spans.size() == 2);
    CHECK(spans[0].name == "attention");
    CHECK(spans[0].shape == Shape{2, 256});
    CHECK(spans[1].name == "step");
    CHECK(spans[1].index == 3);
    CHECK(spans[0].start_ms >= spans[1].start_ms);
    CHECK(spans[0].start_ms + spans[0].duration_ms <= spans[1].start_ms + spans[1].duration_ms);
}

TEST_CASE("trace: the JSON has a complete event a span, in microseconds, and names process and threads") {
    Tracer tracer;
    tracer.keep_spans();
    tracer.add(
        {.name = "child \"quoted\"", .start_ms = 2.5, .duration_ms = 1.0, .thread = 0, .index = 7, .shape = Shape{1, 4, 32, 32}});
    tracer.add({.name = "parent", .start_ms = 2.0, .duration_ms = 4.0, .thread = 0, .index = {}, .shape = {}});
    std::thread([&] {
        tracer.add({.name = "png", .start_ms = 5.0, .duration_ms = 1.5, .thread = 0, .index = {}, .shape = {}});
    }).join();

    const auto trace = nlohmann::json::parse(trace_json(tracer, "t2i test"));
    std::vector<nlohmann::json> spans, names;
    for (const auto& event : trace.at("traceEvents")) (event.at("ph") == "X" ? spans : names).push_back(event);
    REQUIRE(spans.size() == 3);
    CHECK(spans[0].at("name") == "parent");  // by start
    CHECK(spans[0].at("ts") == 2000.0);
    CHECK(spans[0].at("dur") == 4000.0);
    CHECK(spans[1].at("name") == "child \"quoted\"");
    CHECK(spans[1].at("args") == nlohmann::json{{"index", 7}, {"shape", "[1, 4, 32, 32]"}});
    CHECK(spans[1].at("tid") == spans[0].at("tid"));
    CHECK(spans[2].at("tid") != spans[0].at("tid"));
    REQUIRE(names.size() == 3);
    CHECK(names[0].at("name") == "process_name");
    CHECK(names[0].at("args").at("name") == "t2i test");
    CHECK(names[2].at("name") == "thread_name");
}

TEST_CASE("trace: a queue's span is there once it is settled, on a track of its own") {
    Tracer tracer;
    tracer.keep_spans();
    const auto start = Tracer::Clock::now();
    const auto times = [start] { return std::pair{start, start + std::chrono::milliseconds(3)}; };
    tracer.add_queued({.name = "decode", .start_ms = 0, .duration_ms = 0, .thread = 0, .index = {}, .shape = {}}, times);
    CHECK(tracer.spans().empty());
    tracer.settle();
    tracer.settle();  // nothing is queued any more
    tracer.add_queued({.name = "lost", .start_ms = 0, .duration_ms = 0, .thread = 0, .index = {}, .shape = {}}, times);
    tracer.drop_queued();
    tracer.settle();
    const auto spans = tracer.spans();
    REQUIRE(spans.size() == 1);
    CHECK(spans[0].duration_ms == Approx(3));
    CHECK(spans[0].start_ms >= 0);
    CHECK(spans[0].thread == Tracer::queue_thread);
    std::vector<std::string> tracks;
    const auto trace = nlohmann::json::parse(trace_json(tracer, "t2i test"));
    for (const auto& event : trace.at("traceEvents"))
        if (event.at("name") == "thread_name") tracks.push_back(event.at("args").at("name"));
    CHECK(std::ranges::find(tracks, "GPU") != tracks.end());
}

}  // namespace t2i::test
