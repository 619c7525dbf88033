// What becomes of a batch that fails: memory, a picture's own fault, a device that is lost.
#include <numeric>

#include "scheduler/fake_maker.h"
#include "support/catch.h"

namespace t2i::test {
namespace {

// Submits a job for each seed, all at once, and returns how each ended.
struct Run {
    std::vector<JobState> states;
    std::vector<std::string> errors;
    std::vector<std::string> warnings;
};
Run run(FakeMaker& maker, const std::vector<std::uint64_t>& seeds, int batch_size) {
    Run result;
    Scheduler scheduler(maker,
                        {.batch_size = batch_size, .warning = [&](const std::string& line) { result.warnings.push_back(line); }});
    std::vector<std::unique_ptr<Seen>> seen;
    std::vector<Ticket> tickets;
    scheduler.pause();
    for (const auto seed : seeds) {
        Job job = job_of({seed});
        seen.push_back(std::make_unique<Seen>());
        seen.back()->watch(job);
        tickets.push_back(scheduler.submit(std::move(job)));
    }
    scheduler.resume();
    scheduler.wait_until_empty();
    for (std::size_t i = 0; i < tickets.size(); ++i) {
        result.states.push_back(tickets[i].state());
        result.errors.push_back(message_of(tickets[i].error()));
        CHECK(seen[i]->ends.size() == 1);
        CHECK(seen[i]->pictures.size() == (result.states[i] == JobState::done ? 1 : 0));
    }
    return result;
}

std::vector<std::uint64_t> seeds_from(std::uint64_t first, std::size_t n) {
    std::vector<std::uint64_t> seeds(n);
    std::iota(seeds.begin(), seeds.end(), first);
    return seeds;
}

TEST_CASE("scheduler: a batch that does not fit is made in halves, which is remembered and said") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    maker.fits = 3;
    const Run r = run(maker, seeds_from(0, 24), 8);
    CHECK(r.states == std::vector<JobState>(24, JobState::done));
    const auto batches = maker.batches();
    CHECK(batches.front().size() == 8);
    std::size_t refused = 0;
    for (const auto& batch : batches) refused += batch.size() > 3;
    CHECK(refused == 2);  // 8 and 4
    CHECK(batches.back().size() == 2);
    REQUIRE(r.warnings.size() == 2);
    CHECK(r.warnings[0] == "no memory for 8; a batch of 8 pictures did not fit, trying fewer");
}

TEST_CASE("scheduler: the pictures of a job stay in order when its batch is made in halves, and the job is told") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    maker.fits = 1;
    Scheduler scheduler(maker, {.batch_size = 4});
    Seen seen;
    Job job = job_of(seeds_from(5, 11));
    seen.watch(job);
    std::vector<std::string> warnings;
    job.warning = [&](const std::string& line) { warnings.push_back(line); };
    const Ticket ticket = scheduler.submit(std::move(job));
    CHECK(ticket.wait() == JobState::done);
    std::vector<std::size_t> expected(11);
    std::iota(expected.begin(), expected.end(), std::size_t{0});
    CHECK(seen.pictures == expected);
    CHECK(warnings.size() == 2);
}

TEST_CASE("scheduler: one picture that does not fit is tried once more without the caches, then fails alone") {
    FakeMaker maker;
    SECTION("the caches were in the way") {
        maker.is_full_of_caches = true;
        CHECK(run(maker, {1}, 1).states == std::vector{JobState::done});
        CHECK(maker.batches().size() == 2);
    }
    SECTION("they were not") {
        maker.fits = 0;
        const Run r = run(maker, {1, 2}, 2);
        CHECK(r.states == std::vector{JobState::failed, JobState::failed});
        CHECK(r.errors == std::vector<std::string>{"no memory for 1", "no memory for 1"});
    }
}

TEST_CASE("scheduler: a picture that fails is found among others that do not") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    const std::uint64_t culprit = GENERATE(0, 3, 7, 8, 12, 19);
    maker.bad = {culprit};
    const Run r = run(maker, seeds_from(0, 20), 8);
    for (std::size_t i = 0; i < 20; ++i) {
        INFO("picture " << i << ", wrong: " << culprit);
        CHECK(r.states[i] == (i == culprit ? JobState::failed : JobState::done));
        CHECK(r.errors[i] == (i == culprit ? "NaN in picture " + std::to_string(culprit) : ""));
    }
    CHECK(r.warnings.empty());
}

TEST_CASE("scheduler: all pictures that fail are found") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    maker.bad = {0, 1, 5, 8, 9, 15};
    const Run r = run(maker, seeds_from(0, 16), 4);
    for (std::size_t i = 0; i < 16; ++i) CHECK(r.states[i] == (maker.bad.contains(i) ? JobState::failed : JobState::done));
}

TEST_CASE("scheduler: nothing of the batch before is lost when the next one throws") {
    FakeMaker maker;
    maker.has_queue = true;
    Scheduler scheduler(maker, {.batch_size = 2});
    scheduler.pause();
    Seen seen;
    Job good = job_of({1, 2}), bad = job_of({3, 4}, settings_of(128));
    seen.watch(good);
    SECTION("before the queue was asked") {
        maker.heavy = {3};
    }
    SECTION("by a NaN") {
        maker.bad = {3};
    }
    SECTION("by the device") {
        maker.breaking = {3};
    }
    const Ticket first = scheduler.submit(std::move(good)), second = scheduler.submit(std::move(bad));
    scheduler.resume();
    CHECK(first.wait() == JobState::done);
    CHECK(seen.pictures == std::vector<std::size_t>{0, 1});
    CHECK(second.wait() == (maker.heavy.empty() ? JobState::failed : JobState::done));
}

TEST_CASE("scheduler: what no smaller batch can cure fails all of the batch at once, and the next one is tried") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    maker.breaking = {2};
    const Run r = run(maker, seeds_from(0, 8), 4);
    for (std::size_t i = 0; i < 8; ++i) CHECK(r.states[i] == (i < 4 ? JobState::failed : JobState::done));
    CHECK(r.errors[0] == "the device is lost");
    CHECK(maker.batches().size() == 2);
}

TEST_CASE("scheduler: a job that is cancelled or failed drops out of a batch that is made again") {
    FakeMaker maker;
    maker.bad = {1};
    Scheduler scheduler(maker, {.batch_size = 4});
    scheduler.pause();
    std::vector<Ticket> tickets;
    Job first = job_of({0});
    int begun = 0;
    first.progress = [&](const JobProgress& p) {
        if (p.step == 1 && ++begun == 1) tickets[0].cancel();
    };
    tickets.push_back(scheduler.submit(std::move(first)));
    for (std::uint64_t seed = 1; seed < 4; ++seed) tickets.push_back(scheduler.submit(job_of({seed})));
    scheduler.resume();
    scheduler.wait_until_empty();
    // Healthy pictures are done whenever the cancelled one went.
    CHECK(tickets[0].state() == JobState::cancelled);
    CHECK(tickets[1].state() == JobState::failed);
    CHECK(tickets[2].state() == JobState::done);
    CHECK(tickets[3].state() == JobState::done);
}

}  // namespace
}  // namespace t2i::test
