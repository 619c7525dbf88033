// What the scheduler promises about order, batches, cancellation, callbacks, its end and its queue.
#include <array>
#include <atomic>
#include <thread>

#include "scheduler/fake_maker.h"
#include "support/catch.h"

namespace t2i::test {
namespace {

using Batches = std::vector<std::vector<std::uint64_t>>;
using std::chrono::milliseconds;
using std::chrono::minutes;

TEST_CASE("scheduler: higher priorities first, order of arrival otherwise, like pictures in one batch") {
    FakeMaker maker;
    Scheduler scheduler(maker, {.batch_size = 2});
    scheduler.pause();
    const auto submit = [&](std::uint64_t seed, int priority, int side, std::size_t text) {
        Job job = job_of({seed}, settings_of(side));  // equal settings, but objects of their own
        job.priority = priority;
        job.prompt.resize(text);
        scheduler.submit(std::move(job));
    };
    submit(1, 0, 64, 3);
    submit(2, 0, 128, 3);
    submit(3, 0, 64, 3);
    submit(4, 0, 64, 9);
    submit(5, 9, 128, 3);
    submit(6, 0, 64, 3);
    scheduler.resume();
    scheduler.wait_until_empty();
    CHECK(maker.batches() == Batches{{5, 2}, {1, 3}, {4}, {6}});
}

TEST_CASE("scheduler: a job of many pictures takes several batches, says how far it is and what it cost") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    Scheduler scheduler(maker, {.batch_size = 2});
    Seen seen;
    Job job = job_of({10, 11, 12, 13, 14});
    seen.watch(job);
    std::vector<int> first, steps, totals;
    job.progress = [&](const JobProgress& p) {
        first.push_back(p.first);
        steps.push_back(p.step);
        totals.push_back(p.pictures * 100 + p.steps);
    };
    const Ticket ticket = scheduler.submit(std::move(job));
    CHECK(ticket.wait() == JobState::done);
    CHECK(maker.batches() == Batches{{10, 11}, {12, 13}, {14}});
    CHECK(seen.pictures == std::vector<std::size_t>{0, 1, 2, 3, 4});
    CHECK(first == std::vector<int>{0, 0, 0, 2, 2, 2, 4, 4, 4});
    CHECK(steps == std::vector<int>{1, 2, 3, 1, 2, 3, 1, 2, 3});
    CHECK(totals == std::vector<int>(9, 503));
    CHECK(ticket.progress().pictures_done == 5);
    CHECK(!ticket.error());
    const JobStats stats = ticket.stats();
    CHECK(stats.batches == 3);
    CHECK(stats.largest_batch == 2);
    CHECK(stats.queue_ms >= 0);
    CHECK(stats.times.text_ms == Approx(3));
    CHECK(stats.times.denoise_ms == Approx(9));
    CHECK(stats.times.decode_ms == Approx(3));
    REQUIRE(seen.ends.size() == 1);
    CHECK(seen.ends[0].state == JobState::done);
    CHECK(seen.ends[0].stats.times.decode_ms == Approx(3));
    CHECK(scheduler.stats().times.denoise_ms == Approx(9));
}

TEST_CASE("scheduler: jobs of one batch share its time") {
    FakeMaker maker;
    Scheduler scheduler(maker, {.batch_size = 4});
    scheduler.pause();
    const Ticket one = scheduler.submit(job_of({1})), three = scheduler.submit(job_of({2, 3, 4}));
    scheduler.resume();
    scheduler.wait_until_empty();
    CHECK(maker.batches() == Batches{{1, 2, 3, 4}});
    CHECK(one.stats().times.denoise_ms == Approx(3.0 / 4));
    CHECK(three.stats().times.denoise_ms == Approx(3.0 * 3 / 4));
    CHECK(one.stats().largest_batch == 4);
    CHECK(one.take_pictures().at(0).rgb == bytes_of_seed(1));  // no callback: the ticket collects
    CHECK(three.take_pictures().size() == 3);
    CHECK(three.take_pictures().empty());
}

TEST_CASE("scheduler: a queued job that is cancelled ends at once and is never made") {
    FakeMaker maker;
    maker.hold();
    Scheduler scheduler(maker, {.batch_size = 1});
    const Ticket running = scheduler.submit(job_of({1}));
    maker.wait_for_batches(1);
    Seen seen;
    Job job = job_of({2});
    seen.watch(job);
    const Ticket queued = scheduler.submit(std::move(job));
    CHECK(queued.state() == JobState::queued);
    CHECK(!queued.wait_for(milliseconds(1)));
    CHECK(scheduler.stats().waiting_jobs == 1);
    queued.cancel();
    queued.cancel();
    CHECK(queued.state() == JobState::cancelled);
    CHECK(scheduler.stats().waiting_jobs == 0);
    maker.permit(1);
    CHECK(queued.wait() == JobState::cancelled);  // the other one's batch still runs
    CHECK(running.state() == JobState::running);
    maker.release();
    CHECK(running.wait() == JobState::done);
    running.cancel();
    CHECK(running.state() == JobState::done);
    CHECK(maker.batches() == Batches{{1}});
    REQUIRE(seen.ends.size() == 1);
    CHECK(seen.ends[0].state == JobState::cancelled);
    CHECK(seen.pictures.empty());
}

TEST_CASE("scheduler: a batch stops at its next step when all of its jobs are cancelled, and goes on for the others else") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    maker.hold();
    Scheduler scheduler(maker, {.batch_size = 2});
    scheduler.pause();
    Seen seen;
    Job first = job_of({1}, settings_of(64, 100)), second = job_of({2}, settings_of(64, 100));
    seen.watch(first);
    const Ticket a = scheduler.submit(std::move(first)), b = scheduler.submit(std::move(second));
    scheduler.resume();
    maker.wait_for_batches(1);
    a.cancel();
    maker.permit(1);
    CHECK(a.wait() == JobState::cancelled);
    CHECK(b.state() == JobState::running);
    SECTION("one") {
        maker.release();
        CHECK(b.wait() == JobState::done);
        CHECK(maker.steps() == 100);
        CHECK(b.take_pictures().size() == 1);
    }
    SECTION("all") {
        b.cancel();
        maker.permit(1);
        CHECK(b.wait() == JobState::cancelled);
        CHECK(maker.steps() <= 2);
        maker.release();
        CHECK(scheduler.submit(job_of({3})).wait() == JobState::done);
    }
    CHECK(seen.pictures.empty());
    CHECK(seen.ends.size() == 1);
}

TEST_CASE("scheduler: what waits of a running job goes with it") {
    FakeMaker maker;
    maker.hold();
    Scheduler scheduler(maker, {.batch_size = 2});
    const Ticket job = scheduler.submit(job_of({1, 2, 3, 4, 5, 6}));
    maker.wait_for_batches(1);
    CHECK(scheduler.stats().waiting_jobs == 1);
    job.cancel();
    CHECK(job.state() == JobState::running);
    CHECK(scheduler.stats().waiting_jobs == 0);
    maker.permit(1);
    CHECK(job.wait() == JobState::cancelled);
    scheduler.wait_until_empty();
    CHECK(maker.batches().size() == 1);
}

TEST_CASE("scheduler: a callback that throws fails its job alone") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    const std::string which = GENERATE("picture", "progress", "finished");
    Scheduler scheduler(maker, {.batch_size = 2});
    scheduler.pause();
    Seen good, bad;
    Job a = job_of({1, 2}), b = job_of({3, 4, 5});
    good.watch(a);
    bad.watch(b);
    const auto fail = [] { throw std::runtime_error("no"); };
    if (which == "picture") b.picture = [=](const JobPicture&) { fail(); };
    if (which == "progress") b.progress = [=](const JobProgress&) { fail(); };
    if (which == "finished") b.finished = [=](const JobEnd&) { fail(); };
    const Ticket first = scheduler.submit(std::move(a)), second = scheduler.submit(std::move(b));
    Job third = job_of({6});
    Seen after;
    after.watch(third);
    const Ticket last = scheduler.submit(std::move(third));
    scheduler.resume();
    INFO(which);
    CHECK(first.wait() == JobState::done);
    CHECK(second.wait() == JobState::failed);
    CHECK(message_of(second.error()) == "no");
    CHECK(last.wait() == JobState::done);
    CHECK(good.pictures == std::vector<std::size_t>{0, 1});
    CHECK(after.pictures == std::vector<std::size_t>{0});
    if (which != "finished") {
        REQUIRE(bad.ends.size() == 1);
        CHECK(bad.ends[0].state == JobState::failed);
        CHECK(message_of(bad.ends[0].error) == "no");
    }
}

TEST_CASE("scheduler: callbacks may submit and cancel, and cannot wait") {
    FakeMaker maker;
    Scheduler scheduler(maker, {.batch_size = 1});
    std::optional<Ticket> own, other;
    std::string refused;
    Job job = job_of({1, 2, 3});
    std::atomic<bool> is_known{false};
    job.picture = [&](const JobPicture&) {
        while (!is_known) std::this_thread::yield();
        other = scheduler.try_submit(job_of({9}));
        try {
            static_cast<void>(own->wait());
        } catch (const std::logic_error& e) {
            refused = e.what();
        }
        own->cancel();
    };
    own = scheduler.submit(std::move(job));
    is_known = true;
    CHECK(own->wait() == JobState::cancelled);
    CHECK(other->wait() == JobState::done);
    CHECK(refused.find("a callback cannot wait") != std::string::npos);
    CHECK(maker.batches().front() == std::vector<std::uint64_t>{1});
}

TEST_CASE("scheduler: its end cancels jobs in every state, each once, and tickets outlive it") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    std::vector<Ticket> tickets;
    std::array<Seen, 5> seen;
    std::thread later;
    {
        Scheduler scheduler(maker, {.batch_size = 1});
        const auto submit = [&](std::size_t i, Job job) {
            seen[i].watch(job);
            tickets.push_back(scheduler.submit(std::move(job)));
        };
        submit(0, job_of({1}));  // done
        static_cast<void>(tickets[0].wait());
        maker.hold();
        submit(1, job_of({2, 3}, settings_of(64, 1000)));  // running, with a picture that waits
        maker.wait_for_batches(2);
        submit(2, job_of({4}));  // queued
        submit(3, job_of({5}));  // cancelled
        tickets[3].cancel();
        submit(4, job_of({6, 7}, settings_of(128)));
        // Set free only once the end has begun: until then a step waits.
        later = std::thread([&] {
            while (tickets[2].state() == JobState::queued) std::this_thread::yield();
            maker.permit(1);
        });
    }
    later.join();
    const std::vector<JobState> expected{JobState::done, JobState::cancelled, JobState::cancelled, JobState::cancelled,
                                         JobState::cancelled};
    for (std::size_t i = 0; i < tickets.size(); ++i) {
        INFO("job " << i);
        CHECK(tickets[i].wait() == expected[i]);
        CHECK(seen[i].ends.size() == 1);
        tickets[i].cancel();
        CHECK(tickets[i].state() == expected[i]);
    }
    CHECK(maker.steps() <= 3 + 1);
    CHECK(seen[0].pictures.size() == 1);
    CHECK(seen[1].pictures.empty());
    maker.drop_caches();  // checks that nothing stayed in the queue
}

TEST_CASE("scheduler: a full queue refuses or makes its submitter wait") {
    FakeMaker maker;
    maker.hold();
    const bool by_bytes = GENERATE(false, true);
    SchedulerOptions options{.batch_size = 1};
    if (by_bytes) options.most_waiting_bytes = 200;
    else options.most_waiting_jobs = 2;
    Scheduler scheduler(maker, options);
    const auto job = [](std::uint64_t seed) {
        Job made = job_of({seed});
        made.bytes = 100;
        return made;
    };
    const Ticket first = scheduler.submit(job(1));
    maker.wait_for_batches(1);
    REQUIRE(scheduler.try_submit(job(2)));
    const auto cancelled = scheduler.try_submit(job(3));
    REQUIRE(cancelled);
    CHECK(!scheduler.try_submit(job(4)));
    cancelled->cancel();  // makes room
    REQUIRE(scheduler.try_submit(job(5)));
    CHECK(!scheduler.try_submit(job(6)));
    std::atomic<JobState> last{JobState::queued};
    std::thread submitter([&] { last = scheduler.submit(job(7)).wait(); });
    CHECK(last == JobState::queued);
    maker.release();
    submitter.join();
    CHECK(last == JobState::done);
    scheduler.wait_until_empty();
    CHECK(maker.batches() == Batches{{1}, {2}, {5}, {7}});
}

TEST_CASE("scheduler: closed, it refuses what has not begun and finishes what has, and aborted not even that") {
    FakeMaker maker;
    maker.hold();
    const bool aborts = GENERATE(false, true);
    Scheduler scheduler(maker, {.batch_size = 1, .most_waiting_jobs = 2});
    const Ticket running = scheduler.submit(job_of({1, 2})), queued = scheduler.submit(job_of({3}));
    maker.wait_for_batches(1);
    std::atomic<JobState> late{JobState::queued};
    std::thread submitter([&] { late = scheduler.submit(job_of({4})).wait(); });  // may wait for room
    if (aborts) scheduler.abort();
    else scheduler.close();
    CHECK(queued.state() == JobState::cancelled);
    maker.release();
    submitter.join();
    CHECK(late == JobState::cancelled);
    scheduler.wait_until_empty();
    CHECK(running.state() == (aborts ? JobState::cancelled : JobState::done));
    CHECK(maker.batches().size() == (aborts ? 1 : 2));
    CHECK(scheduler.submit(job_of({5})).wait() == JobState::cancelled);
}

TEST_CASE("scheduler: while more is coming a batch waits until it is full, and an idle feed sets free what waits") {
    FakeMaker maker;
    Scheduler scheduler(maker, {.batch_size = 4, .patience = minutes(60)});
    Ticket last = [&] {
        Scheduler::Feed feed(scheduler);
        for (std::uint64_t seed = 0; seed < 6; ++seed) scheduler.submit(job_of({seed}));
        maker.wait_for_batches(1);
        for (std::uint64_t seed = 6; seed < 9; ++seed) scheduler.submit(job_of({seed}));
        maker.wait_for_batches(2);
        feed.set_idle(true);
        scheduler.wait_until_empty();
        CHECK(maker.batches() == Batches{{0, 1, 2, 3}, {4, 5, 6, 7}, {8}});
        CHECK(scheduler.submit(job_of({9})).wait() == JobState::done);
        feed.set_idle(false);
        return scheduler.submit(job_of({10}));
    }();  // the feed ends
    CHECK(last.wait() == JobState::done);
    Scheduler hasty(maker, {.batch_size = 4, .patience = milliseconds(1)});
    const Scheduler::Feed silent(hasty);
    CHECK(hasty.submit(job_of({11})).wait() == JobState::done);  // nothing more comes for a while: made all the same
    Scheduler bounded(maker, {.batch_size = 4, .most_waiting_jobs = 2, .patience = minutes(60)});
    const Scheduler::Feed full(bounded);
    const Ticket first = bounded.submit(job_of({12}));
    CHECK(bounded.submit(job_of({13})).wait() == JobState::done);  // nor can more come where there is no room
    CHECK(first.wait() == JobState::done);
}

TEST_CASE("scheduler: on a backend with a queue pictures come while the next batch runs, and at once where none follows") {
    FakeMaker maker;
    maker.has_queue = true;
    maker.hold();
    Scheduler scheduler(maker, {.batch_size = 1});
    const Ticket first = scheduler.submit(job_of({1})), second = scheduler.submit(job_of({2}));
    maker.permit(3 + 1);  // all steps of the first, one of the second
    CHECK(first.wait() == JobState::done);
    CHECK(second.state() == JobState::running);
    maker.permit(2);
    CHECK(second.wait() == JobState::done);
    CHECK(first.stats().times.decode_ms == Approx(1));
    CHECK(second.stats().times.denoise_ms == Approx(3));
}

}  // namespace
}  // namespace t2i::test
