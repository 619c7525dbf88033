// Makes the pictures of many jobs on one engine: in batches of like ones, by priority, in order of arrival otherwise.
//
//     submit() ─▶ queued, in buckets ─▶ a batch: running ─▶ done, failed or cancelled
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/batch_tuner.h"
#include "pipeline/job.h"

namespace t2i {

struct SchedulerOptions {
    int batch_size = 0;       // pictures in a batch; 0: as many as make it fastest, by measurement
    int most_by_choice = 64;  // of those measured
    std::size_t most_waiting_jobs = SIZE_MAX, most_waiting_bytes = SIZE_MAX;  // see submit(); bytes: the sum of Job::bytes
    // For the next job to come while a Feed says that more are: a reader that checks thousands of finished files finds nothing to
    // submit for a while, and what waits is made meanwhile.
    std::chrono::milliseconds patience{50};
    // A line for the user about a batch, once, whoever's pictures were in it. On the scheduler's thread; must not throw.
    std::function<void(const std::string&)> warning{};
};

struct SchedulerStats {
    StageTimes times;              // of all batches so far
    double idle_ms = 0;            // nothing to do, or waiting for a batch to fill
    std::size_t waiting_jobs = 0;  // that hold at least one picture no batch has taken
    int batch_size = 0;            // of pictures like those of the last batch; 0 before it
};

struct BatchRun;

// A picture's bytes depend on its job alone, never on what else is in its batch. Every job ends once. When memory runs out a
// batch is made again in halves, and what fits is remembered; when a batch fails for another reason that one of its pictures may
// have (a NaN), halving finds that picture, so that only its job fails. Any other failure is that of all jobs of the batch.
//
// One thread of its own drives the engine and runs all callbacks. All functions but the destructor are safe from any thread;
// those that wait are not for callbacks.
class Scheduler {
  public:
    // The engine outlives it, and only the scheduler makes pictures with it meanwhile. Throws Error{resource}: no thread.
    explicit Scheduler(BatchMaker& engine, SchedulerOptions options = {});
    // Cancels all jobs; the batch that runs stops at its next step. Returns after the last callback.
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    // Waits while most_waiting_jobs wait, or as many as have most_waiting_bytes.
    Ticket submit(Job job);
    // Nothing when it would have to wait.
    [[nodiscard]] std::optional<Ticket> try_submit(Job job);

    // No batch starts until resume().
    void pause();
    void resume();
    // Cancels the jobs that have not begun, and those that are submitted from now on. What runs goes on to its end.
    void close();
    // close(), and cancels what runs.
    void abort();
    // Waits until no job is left. Not while it is paused.
    void wait_until_empty();

    [[nodiscard]] SchedulerStats stats() const;

    // While one exists and is not idle, more jobs will come soon, as from a file that is being read: batches wait until they
    // are full. For one thread at a time; the scheduler outlives it.
    class Feed {
      public:
        explicit Feed(Scheduler& scheduler) : queue_(*scheduler.queue_) { set_idle(false); }
        ~Feed() { set_idle(true); }
        Feed(const Feed&) = delete;
        Feed& operator=(const Feed&) = delete;
        // Idle: nothing comes for now, as from standard input without a next line. What waits is made.
        void set_idle(bool idle);

      private:
        JobQueue& queue_;
        bool idle_ = true;
    };

  private:
    struct Item {
        std::shared_ptr<JobRecord> record;
        std::size_t index;  // of its pictures
    };
    using Items = std::vector<Item>;
    friend struct BatchRun;

    [[nodiscard]] std::shared_ptr<JobRecord> record_of(Job job) const;
    void work();
    [[nodiscard]] Items next_items();
    void make(Items items);
    void start(const std::shared_ptr<BatchRun>& batch);
    void hand_out(BatchRun& batch, std::size_t index, BatchMaker::Picture picture);
    [[nodiscard]] bool on_step(BatchRun& batch, int step);
    void recover(BatchRun& batch, const std::exception_ptr& error);
    void remake(Items items, std::exception_ptr known);
    [[nodiscard]] std::exception_ptr try_again(const std::shared_ptr<BatchRun>& batch);
    void too_many(const BatchRun& batch, const std::exception_ptr& error);
    [[nodiscard]] std::exception_ptr flush();
    void account(BatchRun& batch);
    void account(BatchRun& batch, const StageTimes& times);
    void end_complete(const BatchRun& batch);
    void end_cancelled();
    void fail(const Items& items, const std::exception_ptr& error);
    void end(JobRecord& record, JobState state, std::exception_ptr error);

    BatchMaker& engine_;
    const SchedulerOptions options_;
    const std::shared_ptr<JobQueue> queue_;
    // The worker's.
    BatchTuner tuner_;
    std::shared_ptr<BatchRun> previous_;  // given to the engine, and not all handed out yet
    StageTimes accounted_;                // of engine_.times()
    mutable std::mutex stats_mutex_;      // of stats_
    SchedulerStats stats_;
    std::thread worker_;  // last: what it uses is there
};

}  // namespace t2i
