// What is submitted to the scheduler, and what it says about it.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/batch_maker.h"

namespace t2i {

// A job ends once, in one of the last three.
enum class JobState { queued, running, done, failed, cancelled };
[[nodiscard]] constexpr bool has_ended(JobState state) {
    return state != JobState::queued && state != JobState::running;
}

struct JobProgress {
    int pictures_done = 0, pictures = 0;  // handed out, of all
    int first = 0;                        // index of the job's first picture in the batch that runs, or ran last
    int step = 0, steps = 0;              // of that batch
};

struct JobStats {
    double queue_ms = 0;    // from submit() to the start of its first batch; 0 before that
    StageTimes times;       // its share of its batches' times and work: what a picture of them took on average, times its own
    int batches = 0;        // that its pictures were in, repeated ones included
    int largest_batch = 0;  // pictures, of other jobs too
};

// One finished picture of a job.
struct JobPicture {
    std::size_t index;  // of the job's seeds
    BatchMaker::Picture picture;
    double engine_ms;  // of its batch, a picture
};

// How a job ended.
struct JobEnd {
    JobState state = JobState::done;
    std::exception_ptr error;  // of a failed job
    JobStats stats;
};

// Pictures of one prompt, and of one picture to begin with, with the same settings. Callbacks may be empty. They are called on
// the scheduler's thread, one at a time, and hold up everything while they run: that is how a slow receiver slows the engine
// down. They may submit with try_submit() and cancel, but not wait for a job. One that throws makes its job fail with that
// exception; other jobs do not notice. Callbacks are destroyed when the job has ended.
struct Job {
    std::shared_ptr<const ResolvedRequest> settings;  // prompt, start, seed and count in it are not read
    std::vector<std::int32_t> prompt, negative;       // ids; negative is not read where the settings do not guide
    std::vector<std::uint64_t> seeds;                 // one a picture, at least one
    std::shared_ptr<const StartPicture> start{};      // what its pictures begin with; null: noise alone
    int priority = 0;                                 // higher ones first; in order of arrival otherwise
    std::size_t bytes = 0;                            // what waiting costs: counts towards SchedulerOptions::most_waiting_bytes

    // Each picture once, in the order of the seeds. Empty: the ticket collects them.
    std::function<void(JobPicture)> picture;
    // After each step of a batch with pictures of this job. A batch that is made again begins with step 1 again.
    std::function<void(const JobProgress&)> progress;
    // A line for the user that is no error, such as that a batch did not fit into memory.
    std::function<void(const std::string&)> warning;
    // Once, as the last callback, whatever became of the job.
    std::function<void(const JobEnd&)> finished;
};

class JobQueue;
struct JobRecord;

// A handle of a submitted job; copies are handles of the same one. May outlive the scheduler, and dropping it does not cancel.
// All functions are safe from any thread.
class Ticket {
  public:
    [[nodiscard]] JobState state() const;
    [[nodiscard]] JobProgress progress() const;
    [[nodiscard]] JobStats stats() const;
    // Of a failed job; null else.
    [[nodiscard]] std::exception_ptr error() const;
    // Waits for the end. After it no callback of the job is running or will be called. Not from a callback.
    JobState wait() const;
    // Like wait(); false: the time has passed.
    [[nodiscard]] bool wait_for(std::chrono::milliseconds time) const;
    // Of a job without a picture callback, in order: those that are finished and were not taken yet.
    [[nodiscard]] std::vector<BatchMaker::Picture> take_pictures() const;
    // A job that is queued ends at once; of one that runs no further picture is handed out, it ends at the next step, and so
    // does a batch that nobody waits for any more. Does nothing for a job that has ended.
    void cancel() const;

  private:
    friend class Scheduler;
    Ticket(std::shared_ptr<JobQueue> queue, std::shared_ptr<JobRecord> record)
        : queue_(std::move(queue)), record_(std::move(record)) {}
    std::shared_ptr<JobQueue> queue_;
    std::shared_ptr<JobRecord> record_;
};

}  // namespace t2i
