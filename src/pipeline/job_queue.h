// The side of the scheduler that other threads see: jobs that wait, their state, and who waits for them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <unordered_map>

#include "pipeline/job.h"
#include "pipeline/planner.h"

namespace t2i {

// A submitted job. What has no remark is constant; "the worker's" is read and written on its thread alone.
struct JobRecord {
    std::uint64_t id = 0;
    Job job;  // its callbacks are the worker's
    std::string bucket;
    Load load;
    std::chrono::steady_clock::time_point submitted;
    std::atomic<bool> cancelled{false};  // somebody wants it to end; set under the queue's mutex
    bool closed = false;                 // the worker's: it has ended, or its last callback runs
    // Of the queue's mutex; only the worker writes `progress`.
    JobState state = JobState::queued;
    bool settled = false;  // its last callback has returned
    JobProgress progress;
    JobStats stats;
    std::exception_ptr error;
    std::vector<BatchMaker::Picture> pictures;

    // The worker's: whether pictures of it are still wanted.
    [[nodiscard]] bool is_open() const { return !closed && !cancelled.load(std::memory_order_relaxed); }
};
using JobRecordPtr = std::shared_ptr<JobRecord>;

// Safe from any thread, except for what only the worker calls.
class JobQueue {
  public:
    // A submission waits, or is refused, while so many jobs wait or their `bytes` sum to so much.
    // patience: see SchedulerOptions.
    JobQueue(std::size_t most_jobs, std::size_t most_bytes, std::chrono::milliseconds patience)
        : most_jobs_(most_jobs), most_bytes_(most_bytes), patience_(patience) {}

    // Null when there is no room and `waits` is false.
    [[nodiscard]] JobRecordPtr submit(JobRecordPtr record, bool waits);
    void cancel(JobRecord& record);
    void cancel_queued();
    void cancel_all();
    // Jobs that are submitted later are cancelled.
    void close();
    void pause(bool paused);
    void add_feeds(int change);
    void wait_until_empty();
    [[nodiscard]] bool wait_for(const JobRecord& record, std::optional<std::chrono::milliseconds> time);
    [[nodiscard]] std::size_t waiting_jobs() const;

    // A copy of what the mutex guards.
    template <typename T>
    [[nodiscard]] T get(const T& field) const {
        const std::lock_guard lock(mutex_);
        return field;
    }
    [[nodiscard]] std::vector<BatchMaker::Picture> take_pictures(JobRecord& record);

    // The rest is the worker's.
    void stop();  // the one exception: from the thread that joins the worker
    struct Part {
        JobRecordPtr record;
        std::size_t first, count;
    };
    enum class Next { batch, nothing, cancelled, stop };
    // The next batch into `parts`. nothing: one would have to wait for it, and `waits` is false. cancelled: take_cancelled()
    // has some. idle_ms grows by what was waited.
    [[nodiscard]] Next take(std::vector<Part>& parts, const Planner::BatchSize& size, bool waits, double& idle_ms);
    // Ids of what the jobs that wait are to draw, and not to draw, by priority and arrival. While a Feed says that more come, it
    // waits for so many jobs, as long as one follows the other.
    [[nodiscard]] std::vector<std::vector<std::int32_t>> waiting_prompts(std::size_t enough);
    // Jobs that were cancelled since, and are not closed.
    [[nodiscard]] std::vector<JobRecordPtr> take_cancelled();
    // Notes a step of a batch with these jobs. True: take_cancelled() has some.
    [[nodiscard]] bool note_step(std::span<const JobRecordPtr> jobs, int step);
    // Changes what the mutex guards.
    template <typename Change>
    void change(const Change& apply) {
        const std::lock_guard lock(mutex_);
        apply();
    }
    // Closes the job and says how it ends: cancelled where somebody wants that, else as given. What waits of it goes.
    [[nodiscard]] JobState close(JobRecord& record, JobState state);
    void settle(JobRecord& record, const JobEnd& end);
    void set_worker(std::thread::id id) { worker_ = id; }

  private:
    void cancel_locked(JobRecord& record);
    void forget_waiting(const JobRecord& record);
    [[nodiscard]] bool has_room() const { return planner_.jobs() < most_jobs_ && waiting_bytes_ < most_bytes_; }

    const std::size_t most_jobs_, most_bytes_;
    const std::chrono::milliseconds patience_;
    std::thread::id worker_;
    mutable std::mutex mutex_;  // of what follows
    std::condition_variable work_, room_, ended_;
    Planner planner_;
    std::unordered_map<std::uint64_t, JobRecordPtr> jobs_;  // that are not settled
    std::vector<JobRecordPtr> cancelled_;                   // for the worker to close
    std::uint64_t arrivals_ = 0;
    std::size_t waiting_bytes_ = 0;
    int feeds_ = 0;
    bool paused_ = false, closed_ = false, stopping_ = false;
};

}  // namespace t2i
