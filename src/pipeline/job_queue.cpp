#include "pipeline/job_queue.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace t2i {

namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

JobRecordPtr JobQueue::submit(JobRecordPtr record, bool waits) {
    std::unique_lock lock(mutex_);
    if (!has_room() && !closed_) {
        if (!waits) return nullptr;
        T2I_CHECK(std::this_thread::get_id() != worker_, "a callback cannot wait for room: only it makes some");
        room_.wait(lock, [&] { return has_room() || closed_; });
    }
    record->id = ++arrivals_;
    record->submitted = Clock::now();
    record->progress.pictures = static_cast<int>(record->job.seeds.size());
    jobs_.insert({record->id, record});
    planner_.add(record->id, record->bucket, record->load, record->job.priority, record->job.seeds.size());
    waiting_bytes_ += record->job.bytes;
    if (closed_) cancel_locked(*record);
    work_.notify_one();
    return record;
}

// What waits of the job does not any more.
void JobQueue::forget_waiting(const JobRecord& record) {
    if (planner_.remove(record.id) == 0) return;
    waiting_bytes_ -= record.job.bytes;
    room_.notify_all();
}

void JobQueue::cancel_locked(JobRecord& record) {
    if (record.cancelled || record.settled) return;
    record.cancelled = true;
    if (record.state == JobState::queued) record.state = JobState::cancelled;
    forget_waiting(record);
    if (const auto known = jobs_.find(record.id); known != jobs_.end()) cancelled_.push_back(known->second);
    work_.notify_one();
}

void JobQueue::cancel(JobRecord& record) {
    const std::lock_guard lock(mutex_);
    cancel_locked(record);
}

void JobQueue::cancel_queued() {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, record] : jobs_)
        if (record->state == JobState::queued) cancel_locked(*record);
}

void JobQueue::cancel_all() {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, record] : jobs_) cancel_locked(*record);
}

void JobQueue::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
}

void JobQueue::pause(bool paused) {
    const std::lock_guard lock(mutex_);
    paused_ = paused;
    work_.notify_one();
}

void JobQueue::add_feeds(int change) {
    const std::lock_guard lock(mutex_);
    feeds_ += change;
    work_.notify_one();
}

void JobQueue::wait_until_empty() {
    std::unique_lock lock(mutex_);
    T2I_CHECK(std::this_thread::get_id() != worker_, "a callback cannot wait for jobs");
    ended_.wait(lock, [&] { return jobs_.empty(); });
}

bool JobQueue::wait_for(const JobRecord& record, std::optional<std::chrono::milliseconds> time) {
    std::unique_lock lock(mutex_);
    T2I_CHECK(std::this_thread::get_id() != worker_, "a callback cannot wait for jobs");
    const auto settled = [&] { return record.settled; };
    if (time) return ended_.wait_for(lock, *time, settled);
    ended_.wait(lock, settled);
    return true;
}

std::size_t JobQueue::waiting_jobs() const {
    const std::lock_guard lock(mutex_);
    return planner_.jobs();
}

std::vector<std::vector<std::int32_t>> JobQueue::waiting_prompts(std::size_t enough) {
    std::unique_lock lock(mutex_);
    const auto is_over = [&] { return feeds_ == 0 || stopping_ || !cancelled_.empty(); };
    while (!is_over() && planner_.jobs() < enough && has_room()) {
        const std::uint64_t seen = arrivals_;
        if (!work_.wait_for(lock, patience_, [&] { return arrivals_ != seen || is_over(); })) break;
    }
    std::vector<const JobRecord*> waiting;
    for (const auto& [id, record] : jobs_)
        if (planner_.holds(id)) waiting.push_back(record.get());
    std::ranges::sort(waiting, {}, [](const JobRecord* r) { return std::pair(-r->job.priority, r->id); });
    std::vector<std::vector<std::int32_t>> prompts;
    for (const JobRecord* record : waiting) {
        if (record->job.settings->guided) prompts.push_back(record->job.negative);
        prompts.push_back(record->job.prompt);
    }
    return prompts;
}

std::vector<BatchMaker::Picture> JobQueue::take_pictures(JobRecord& record) {
    const std::lock_guard lock(mutex_);
    return std::exchange(record.pictures, {});
}

void JobQueue::stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
}

// A batch starts when it is full, or when waiting for more would be in vain: nobody said that more follows, nothing came for a
// while, or the window is full.
JobQueue::Next JobQueue::take(std::vector<Part>& parts, const Planner::BatchSize& size, bool waits, double& idle_ms) {
    std::unique_lock lock(mutex_);
    bool waited_long = false;
    while (true) {
        if (!cancelled_.empty()) return Next::cancelled;
        if (stopping_) return Next::stop;
        const bool has_some = !paused_ && !planner_.is_empty();
        if (has_some && (feeds_ == 0 || waited_long || !has_room() || planner_.has_full_batch(size))) break;
        if (!waits) return Next::nothing;
        const auto begin = Clock::now();
        const std::uint64_t seen = arrivals_;
        const auto is_news = [&] { return arrivals_ != seen || feeds_ == 0 || stopping_ || !cancelled_.empty(); };
        if (has_some) waited_long = !work_.wait_for(lock, patience_, is_news);
        else work_.wait(lock);
        idle_ms += std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    }
    for (const Planner::Part& part : planner_.take(size)) {
        const JobRecordPtr& record = jobs_.at(part.job);
        if (record->state == JobState::queued) {
            record->state = JobState::running;
            record->stats.queue_ms = std::chrono::duration<double, std::milli>(Clock::now() - record->submitted).count();
        }
        if (!planner_.holds(part.job)) waiting_bytes_ -= record->job.bytes;
        parts.push_back({record, part.first, part.count});
    }
    room_.notify_all();
    return Next::batch;
}

std::vector<JobRecordPtr> JobQueue::take_cancelled() {
    const std::lock_guard lock(mutex_);
    auto taken = std::exchange(cancelled_, {});
    std::erase_if(taken, [](const JobRecordPtr& record) { return record->closed; });
    return taken;
}

bool JobQueue::note_step(std::span<const JobRecordPtr> jobs, int step) {
    const std::lock_guard lock(mutex_);
    for (const JobRecordPtr& record : jobs) record->progress.step = step;
    return !cancelled_.empty();
}

JobState JobQueue::close(JobRecord& record, JobState state) {
    const std::lock_guard lock(mutex_);
    forget_waiting(record);
    record.closed = true;
    const bool was_cancelled = record.cancelled;
    record.cancelled = true;  // a later cancel() comes too late
    return was_cancelled ? JobState::cancelled : state;
}

void JobQueue::settle(JobRecord& record, const JobEnd& end) {
    const std::lock_guard lock(mutex_);
    record.state = end.state;
    record.error = end.error;
    record.settled = true;
    jobs_.erase(record.id);
    ended_.notify_all();
}

}  // namespace t2i
