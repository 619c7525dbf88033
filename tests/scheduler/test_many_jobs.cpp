// Many threads at one scheduler. ThreadSanitizer runs these too.
#include <array>
#include <atomic>
#include <barrier>
#include <map>
#include <thread>

#include "e2e/tiny_model.h"
#include "pipeline/engine.h"
#include "scheduler/fake_maker.h"
#include "support/catch.h"
#include "t2i/pipeline.h"

namespace t2i::test {
namespace {

constexpr std::size_t threads = 8, jobs = 200;

PipelineOptions tiny(int engine_batch) {
    PipelineOptions options;
    options.model = tiny_model().string();
    options.device = "cpu";
    options.dtype = "f32";
    options.threads = 2;
    options.engine_batch = engine_batch;
    return options;
}

// Runs `work(i)` for i in [0, threads) at the same time.
template <typename Work>
void on_all_threads(const Work& work) {
    std::vector<std::thread> all;
    for (std::size_t i = 0; i < threads; ++i) all.emplace_back([&work, i] { work(i); });
    for (auto& thread : all) thread.join();
}

// Submits 200 jobs from 8 threads and cancels every other one, some at once, some later; each ends once.
void submit_and_cancel(Scheduler& scheduler, const std::function<Job(std::size_t)>& make_job) {
    struct Outcome {
        std::atomic<int> ends{0}, pictures{0};
        std::atomic<JobState> state{JobState::queued};
    };
    std::array<Outcome, jobs> outcomes;
    std::array<std::optional<Ticket>, jobs> tickets;
    std::barrier all_submitted(static_cast<std::ptrdiff_t>(threads));
    on_all_threads([&](std::size_t thread) {
        for (std::size_t i = thread; i < jobs; i += threads) {
            Job job = make_job(i);
            job.priority = static_cast<int>(i % 3);
            job.picture = [&outcome = outcomes[i]](const JobPicture&) { ++outcome.pictures; };
            job.finished = [&outcome = outcomes[i]](const JobEnd& end) {
                ++outcome.ends;
                outcome.state = end.state;
            };
            tickets[i] = scheduler.submit(std::move(job));
            if (i % 4 == 1) tickets[i]->cancel();
            static_cast<void>(tickets[i]->progress());
            static_cast<void>(scheduler.stats());
        }
        all_submitted.arrive_and_wait();
        for (std::size_t i = (thread + 1) % threads; i < jobs; i += threads)  // another thread's
            if (i % 4 == 3) tickets[i]->cancel();
        for (std::size_t i = thread; i < jobs; i += threads) {
            if (i % 4 == 3) tickets[i]->cancel();
            static_cast<void>(tickets[i]->wait());
        }
    });
    std::map<JobState, int> count;
    for (std::size_t i = 0; i < jobs; ++i) {
        INFO("job " << i);
        CHECK(outcomes[i].ends == 1);
        CHECK(tickets[i]->state() == outcomes[i].state);
        const JobState state = outcomes[i].state;
        ++count[state];
        if (i % 2 == 0) CHECK(state == JobState::done);
        else CHECK((state == JobState::done || state == JobState::cancelled));
        if (state == JobState::done) CHECK(outcomes[i].pictures == tickets[i]->progress().pictures);
        else CHECK(outcomes[i].pictures <= tickets[i]->progress().pictures);
    }
    CHECK(count[JobState::done] >= static_cast<int>(jobs / 2));
    CHECK(count[JobState::done] + count[JobState::cancelled] == static_cast<int>(jobs));
}

TEST_CASE("scheduler: 200 jobs from 8 threads, half of them cancelled, end once each: a maker without and with a queue") {
    FakeMaker maker;
    maker.has_queue = GENERATE(false, true);
    Scheduler scheduler(maker, {.batch_size = 4, .most_waiting_jobs = 50});
    submit_and_cancel(scheduler, [](std::size_t i) {
        return job_of(std::vector<std::uint64_t>(1 + i % 3, i), settings_of(i % 5 == 0 ? 128 : 64));
    });
}

TEST_CASE("scheduler: 200 jobs from 8 threads, half of them cancelled, end once each: a real engine") {
    Engine engine(tiny(0));
    GenerateRequest request;
    request.steps = 1;
    const auto settings = std::make_shared<const ResolvedRequest>(engine.resolve(request));
    Scheduler scheduler(engine, {.batch_size = 4});
    submit_and_cancel(scheduler, [&](std::size_t i) {
        Job job;
        job.settings = settings;
        job.prompt = engine.tokenize(i % 2 == 0 ? "a cat" : "a red apple", "prompt").ids;
        job.negative = engine.tokenize("", "prompt").ids;
        job.seeds = {i};
        return job;
    });
}

TEST_CASE("pipeline: pictures asked for on several threads are those of one, batched with each other") {
    GenerateRequest request;
    request.steps = 2;
    request.count = 2;
    const auto ask = [&](Pipeline& pipeline, std::size_t i) {
        GenerateRequest mine = request;
        mine.prompt = i % 2 == 0 ? "a cat" : "a red apple";
        mine.seed = 10 * i;
        return pipeline.generate(mine);
    };
    std::array<std::vector<Image>, threads> expected, found;
    Pipeline alone = Pipeline::load(tiny(1)), shared = Pipeline::load(tiny(3));
    for (std::size_t i = 0; i < threads; ++i) expected[i] = ask(alone, i);
    on_all_threads([&](std::size_t i) {
        found[i] = ask(shared, i);
        static_cast<void>(shared.last_times());
        static_cast<void>(shared.info());
    });
    for (std::size_t i = 0; i < threads; ++i) {
        REQUIRE(found[i].size() == 2);
        for (std::size_t k = 0; k < 2; ++k) {
            CHECK(found[i][k].seed == 10 * i + k);
            CHECK((found[i][k].rgb == expected[i][k].rgb));
            CHECK(found[i][k].parameters == expected[i][k].parameters);
        }
    }
    CHECK(shared.last_times().denoise_ms > 0);
}

TEST_CASE("pipeline: callbacks run on the caller's thread, in order, and one that throws or refuses ends its request alone") {
    Pipeline pipeline = Pipeline::load(tiny(2));
    GenerateRequest request;
    request.prompt = "a cat";
    request.steps = 3;
    request.count = 5;
    std::vector<int> indices;
    std::vector<std::pair<int, int>> progress;
    bool is_mine = true;
    const auto here = std::this_thread::get_id();
    pipeline.generate(request, {.image =
                                    [&](int i, Image) {
                                        indices.push_back(i);
                                        is_mine = is_mine && std::this_thread::get_id() == here;
                                    },
                                .progress =
                                    [&](const Progress& p) {
                                        progress.emplace_back(p.image, p.step);
                                        return p.images == 5 && p.steps == 3;
                                    },
                                .warning = {}});
    CHECK(is_mine);
    CHECK(indices == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(progress == std::vector<std::pair<int, int>>{{0, 1}, {0, 2}, {0, 3}, {2, 1}, {2, 2}, {2, 3}, {4, 1}, {4, 2}, {4, 3}});

    request.count = 100;
    int images = 0;
    CHECK_THROWS_WITH(pipeline.generate(request, {.image =
                                                      [&](int, Image) {
                                                          if (++images == 3) throw std::runtime_error("the third");
                                                      },
                                                  .progress = {},
                                                  .warning = {}}),
                      "the third");
    CHECK(images == 3);
    try {
        pipeline.generate(request, {.image = {}, .progress = [](const Progress& p) { return p.step < 2; }, .warning = {}});
        FAIL("went on");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::cancelled);
    }
    request.count = 1;
    CHECK(pipeline.generate(request).size() == 1);
}

}  // namespace
}  // namespace t2i::test
