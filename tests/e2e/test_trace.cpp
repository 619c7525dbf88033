// --trace: what a viewer needs to show where the time went.
#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

using Events = std::vector<nlohmann::json>;

Events spans_of(const std::string& path) {
    Events spans;
    const auto trace = nlohmann::json::parse(file_text(path));
    for (const auto& event : trace.at("traceEvents"))
        if (event.at("ph") == "X") spans.push_back(event);
    return spans;
}

Events named(const Events& spans, const std::string& name) {
    Events found;
    std::ranges::copy_if(spans, std::back_inserter(found), [&](const auto& span) { return span.at("name") == name; });
    return found;
}

bool holds(const nlohmann::json& outer, const nlohmann::json& inner) {
    const auto begin = [](const auto& e) { return e.at("ts").template get<double>(); };
    const auto end = [&](const auto& e) { return begin(e) + e.at("dur").template get<double>(); };
    return outer.at("tid") == inner.at("tid") && begin(outer) <= begin(inner) && end(inner) <= end(outer);
}

// Every `inner` lies within some `outer`, and there is one.
void check_within(const Events& spans, const std::string& outer, const std::string& inner) {
    const auto outers = named(spans, outer), inners = named(spans, inner);
    INFO(inners.size() << " spans \"" << inner << "\" in " << outers.size() << " \"" << outer << "\"");
    CHECK_FALSE(inners.empty());
    for (const auto& i : inners) CHECK(std::ranges::any_of(outers, [&](const auto& o) { return holds(o, i); }));
}

// There are `outer` spans, and every one holds some `inner`.
void check_each_holds(const Events& spans, const std::string& outer, const std::string& inner) {
    const auto outers = named(spans, outer), inners = named(spans, inner);
    INFO(inners.size() << " spans \"" << inner << "\" in " << outers.size() << " \"" << outer << "\"");
    CHECK_FALSE(outers.empty());
    for (const auto& o : outers) CHECK(std::ranges::any_of(inners, [&](const auto& i) { return holds(o, i); }));
}

TEST_CASE("generate --trace shows stages, steps and layers, each inside what it is part of") {
    const TempFolder folder;
    const Outcome run = run_t2i({"-m", tiny_model().string(), "-p", "a red apple", "--steps", "3", "-b", "2", "-o",
                                 folder / "x.png", "--trace", folder / "trace.json"});
    INFO(run.err);
    REQUIRE(run.code == 0);
    const Events spans = spans_of(folder / "trace.json");
    for (const char* stage : {"load", "text", "prepare", "denoise", "decode", "png"}) {
        INFO(stage);
        CHECK_FALSE(named(spans, stage).empty());
    }
    CHECK(named(spans, "load").size() == 1);
    CHECK(named(spans, "step").size() == 6);  // of two pictures, made one at a time
    CHECK(named(spans, "png").size() == 2);
    check_within(spans, "denoise", "step");
    check_within(spans, "step", "pixart_forward");
    check_each_holds(spans, "pixart_forward", "block");
    check_each_holds(spans, "t5_encoder", "block");
    check_within(spans, "block", "cross_attention");
    check_each_holds(spans, "block", "self_attention");
    check_each_holds(spans, "block", "mlp");  // others belong to the timesteps and the captions
    check_within(spans, "text", "t5_encoder");
    check_within(spans, "decode", "resnet");
    // PNGs are made beside the next picture.
    CHECK(named(spans, "png").front().at("tid") != named(spans, "step").front().at("tid"));
}

TEST_CASE("bench --trace covers its runs") {
    const TempFolder folder;
    const Outcome run = run_t2i(
        {"bench", "-m", tiny_model().string(), "--steps", "2", "--runs", "1", "--warm-ups", "0", "--trace", folder / "t.json"});
    INFO(run.err);
    REQUIRE(run.code == 0);
    CHECK(named(spans_of(folder / "t.json"), "step").size() == 2);
}

TEST_CASE("a trace that cannot be written is said before the work, in one line") {
    const TempFolder folder;
    const Outcome run =
        run_t2i({"-m", tiny_model().string(), "-p", "a", "-o", folder / "a.png", "--trace", folder / "none/trace.json"});
    CHECK(run.code == 3);
    CHECK(run.err == "t2i: error: " + (folder / "none") + ": output folder does not exist\n");
    CHECK_FALSE(std::filesystem::exists(folder / "a.png"));
}

TEST_CASE("no trace is left of a run that failed") {
    const TempFolder folder;
    const Outcome run = run_t2i({"-m", folder / "no-model", "-p", "a", "-o", folder / "a.png", "--trace", folder / "trace.json"});
    CHECK(run.code == 3);
    CHECK_FALSE(std::filesystem::exists(folder / "trace.json"));
}

}  // namespace
}  // namespace t2i::test
