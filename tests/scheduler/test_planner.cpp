// Which pictures go into one batch, and how many.
#include "pipeline/planner.h"
#include "support/catch.h"

namespace t2i::test {
namespace {

const Load any_load{64, 64, false};
using Batches = std::vector<std::vector<std::uint64_t>>;

// Jobs of all batches, each as often as it has pictures in one.
Batches take_all(Planner& planner, int size) {
    Batches batches;
    const auto fixed = [&](const Load&) { return size; };
    for (auto parts = planner.take(fixed); !parts.empty(); parts = planner.take(fixed)) {
        batches.emplace_back();
        for (const auto& part : parts) batches.back().insert(batches.back().end(), part.count, part.job);
    }
    return batches;
}

TEST_CASE("planner: a batch is of one bucket, full ones come first, none is forgotten") {
    Planner planner;
    planner.add(1, "large", {128, 128, true}, 0, 1);
    for (std::uint64_t job = 2; job < 7; ++job) planner.add(job, "small", any_load, 0, 1);
    planner.add(7, "small, longer text", any_load, 0, 1);
    CHECK(planner.has_full_batch([](const Load&) { return 4; }));
    CHECK(!planner.has_full_batch([](const Load&) { return 6; }));
    CHECK(planner.jobs() == 7);
    CHECK(take_all(planner, 4) == Batches{{2, 3, 4, 5}, {1}, {6}, {7}});
    CHECK(planner.is_empty());
}

TEST_CASE("planner: a higher priority goes first, before full batches too, and arrival decides otherwise") {
    Planner planner;
    planner.add(1, "a", any_load, 0, 3);
    planner.add(2, "a", any_load, 5, 1);
    planner.add(3, "b", any_load, 7, 1);
    planner.add(4, "a", any_load, 5, 1);
    CHECK(take_all(planner, 2) == Batches{{3}, {2, 4}, {1, 1}, {1}});
}

TEST_CASE("planner: a job's pictures go on where the last batch ended, and what waits can be removed") {
    Planner planner;
    const auto two = [](const Load&) { return 2; };
    planner.add(1, "a", any_load, 0, 5);
    planner.add(2, "a", any_load, 0, 1);
    const auto first = planner.take(two), second = planner.take(two);
    REQUIRE(first.size() == 1);
    CHECK((first[0].first == 0 && first[0].count == 2));
    CHECK((second[0].first == 2 && second[0].count == 2));
    CHECK(planner.holds(1));
    CHECK(planner.remove(1) == 1);
    CHECK(planner.remove(1) == 0);
    CHECK(!planner.holds(1));
    CHECK(take_all(planner, 2) == Batches{{2}});
}

TEST_CASE("planner: a bucket that never fills a batch is not passed over for ever") {
    Planner planner;
    std::uint64_t next = 0;
    const auto two = [](const Load&) { return 2; };
    planner.add(++next, "lone", any_load, 0, 1);
    int batches_before = 0;
    while (true) {
        for (int i = 0; i < 2; ++i) planner.add(++next, "many", any_load, 0, 1);
        if (planner.take(two).front().job == 1) break;
        REQUIRE(++batches_before < 100);
    }
    CHECK(batches_before == 32);
}

TEST_CASE("tuner: doubles while that is faster, and stays below what did not fit") {
    const Load load{256, 256, true};
    const auto settle = [&](BatchTuner& tuner, const std::function<double(int)>& seconds_a_picture) {
        for (int i = 0; i < 40; ++i) {
            const int n = tuner.batch_size(load);
            tuner.measured(load, n, n * seconds_a_picture(n));
        }
        return tuner.batch_size(load);
    };
    BatchTuner cpu(0, 64), gpu(0, 64), fixed(5, 64), large(100, 64);
    CHECK(settle(cpu, [](int) { return 1.0; }) == 1);
    CHECK(settle(gpu, [](int n) { return n <= 16 ? 1.0 / n : 1.0 / 16; }) == 16);
    CHECK(settle(fixed, [](int n) { return 1.0 / n; }) == 5);
    CHECK(settle(large, [](int n) { return 1.0 / n; }) == 100);
    gpu.too_many(load, 16);
    CHECK(gpu.batch_size(load) == 8);
    CHECK(gpu.batch_size({512, 512, true}) == 1);
    fixed.too_many(load, 5);
    CHECK(fixed.batch_size(load) == 2);
}

}  // namespace
}  // namespace t2i::test
