#include "pipeline/scheduler.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/number_text.h"
#include "core/out_of_memory.h"
#include "core/threads.h"
#include "pipeline/job_queue.h"

namespace t2i {

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// Of a batch's failure: what decides whether smaller batches are tried.
enum class Cause { memory, a_picture, other };

Cause cause_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const OutOfMemory&) {
        return Cause::memory;
    } catch (const std::bad_alloc&) {
        return Cause::memory;
    } catch (const Error& e) {
        return e.code() == ErrorCode::input ? Cause::a_picture : Cause::other;
    } catch (...) {
        return Cause::other;
    }
}

std::string text_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "unknown failure";
    }
}

// One line for each stage: applies `change(field of a, field of b)` to both numbers of all stages.
template <typename Change>
void for_each_stage(StageTimes& a, const StageTimes& b, const Change& change) {
    change(a.load_ms, b.load_ms);
    change(a.text_ms, b.text_ms);
    change(a.prepare_ms, b.prepare_ms);
    change(a.denoise_ms, b.denoise_ms);
    change(a.decode_ms, b.decode_ms);
    change(a.text_flops, b.text_flops);
    change(a.denoise_flops, b.denoise_flops);
    change(a.decode_flops, b.decode_flops);
}

StageTimes difference(StageTimes a, const StageTimes& b) {
    for_each_stage(a, b, [](double& x, double y) { x -= y; });
    return a;
}

void add(StageTimes& a, const StageTimes& b, double share = 1) {
    for_each_stage(a, b, [share](double& x, double y) { x += y * share; });
}

}  // namespace

// Pictures that are made in one batch.
struct BatchRun {
    explicit BatchRun(Scheduler::Items of) : items(std::move(of)), handed_out(items.size()) {
        for (const auto& item : items)
            if (jobs.empty() || jobs.back() != item.record) jobs.push_back(item.record);
    }

    Scheduler::Items items;          // those of a job stand side by side
    std::vector<bool> handed_out;    // by the engine
    std::vector<JobRecordPtr> jobs;  // of the items, each once
    Clock::time_point begin = Clock::now();
    bool is_made = false;              // the engine has all work of it
    bool is_decode_accounted = false;  // that it did after that
    double engine_ms = 0;              // a picture, once it is made

    [[nodiscard]] const JobRecord& first() const { return *items.front().record; }
    [[nodiscard]] int size() const { return static_cast<int>(items.size()); }
    // Whoever wants none of it any more.
    [[nodiscard]] bool is_wanted() const {
        return std::ranges::any_of(jobs, [](const JobRecordPtr& record) { return record->is_open(); });
    }
    // What the engine did not hand out, will not any more, and somebody still wants.
    [[nodiscard]] Scheduler::Items left() const {
        Scheduler::Items found;
        for (std::size_t i = 0; i < items.size(); ++i)
            if (!handed_out[i] && items[i].record->is_open()) found.push_back(items[i]);
        return found;
    }
};

JobState Ticket::state() const {
    return queue_->get(record_->state);
}

JobProgress Ticket::progress() const {
    return queue_->get(record_->progress);
}

JobStats Ticket::stats() const {
    return queue_->get(record_->stats);
}

std::exception_ptr Ticket::error() const {
    return queue_->get(record_->error);
}

JobState Ticket::wait() const {
    static_cast<void>(queue_->wait_for(*record_, {}));
    return state();
}

bool Ticket::wait_for(std::chrono::milliseconds time) const {
    return queue_->wait_for(*record_, time);
}

std::vector<BatchMaker::Picture> Ticket::take_pictures() const {
    return queue_->take_pictures(*record_);
}

void Ticket::cancel() const {
    queue_->cancel(*record_);
}

Scheduler::Scheduler(BatchMaker& engine, SchedulerOptions options)
    : engine_(engine),
      options_(std::move(options)),
      queue_(std::make_shared<JobQueue>(options_.most_waiting_jobs, options_.most_waiting_bytes, options_.patience)),
      tuner_(options_.batch_size, options_.most_by_choice),
      accounted_(engine.times()) {
    worker_ = start_thread([this] { work(); });
    queue_->set_worker(worker_.get_id());
}

Scheduler::~Scheduler() {
    abort();
    queue_->stop();
    worker_.join();
}

std::shared_ptr<JobRecord> Scheduler::record_of(Job job) const {
    T2I_CHECK(job.settings && !job.seeds.empty(), "a job has settings and a picture");
    const ResolvedRequest& r = *job.settings;
    auto record = std::make_shared<JobRecord>();
    record->bucket = r.batch_key + " " + std::to_string(engine_.conditioning_rows({job.prompt, job.negative, 0}));
    record->load = {r.drawn_width, r.drawn_height, r.guided};
    record->progress.steps = r.steps;
    record->job = std::move(job);
    return record;
}

Ticket Scheduler::submit(Job job) {
    return {queue_, queue_->submit(record_of(std::move(job)), true)};
}

std::optional<Ticket> Scheduler::try_submit(Job job) {
    auto record = queue_->submit(record_of(std::move(job)), false);
    return record ? std::optional(Ticket(queue_, std::move(record))) : std::nullopt;
}

void Scheduler::pause() {
    queue_->pause(true);
}

void Scheduler::resume() {
    queue_->pause(false);
}

void Scheduler::close() {
    queue_->close();
    queue_->cancel_queued();
}

void Scheduler::abort() {
    queue_->close();
    queue_->cancel_all();
}

void Scheduler::wait_until_empty() {
    queue_->wait_until_empty();
}

void Scheduler::Feed::set_idle(bool idle) {
    if (idle != idle_) queue_.add_feeds(idle ? -1 : 1);
    idle_ = idle;
}

SchedulerStats Scheduler::stats() const {
    const std::lock_guard lock(stats_mutex_);
    SchedulerStats s = stats_;
    s.waiting_jobs = queue_->waiting_jobs();
    return s;
}

void Scheduler::work() {
    while (true) {
        Items items = next_items();
        if (items.empty()) break;
        const Items copy = items;
        try {
            make(std::move(items));
        } catch (...) {  // of our own bookkeeping: there is no memory left for it
            static_cast<void>(flush());
            fail(copy, std::current_exception());
        }
    }
}

// Of the next batch; waits for one. None: the scheduler goes. Nothing stays in the engine's queue while it waits.
Scheduler::Items Scheduler::next_items() {
    const auto size = [this](const Load& load) { return tuner_.batch_size(load); };
    std::vector<JobQueue::Part> parts;
    bool waits = false;
    double idle_ms = 0;
    while (true) {
        const JobQueue::Next next = queue_->take(parts, size, waits, idle_ms);
        if (next == JobQueue::Next::batch) break;
        if (next == JobQueue::Next::cancelled) end_cancelled();
        if (next == JobQueue::Next::stop || next == JobQueue::Next::nothing) {
            if (previous_) {
                const std::exception_ptr error = flush();
                const auto previous = std::exchange(previous_, nullptr);
                if (error) recover(*previous, error);
                continue;
            }
            if (next == JobQueue::Next::stop) return {};
            waits = true;
        }
    }
    Items items;
    for (auto& part : parts)
        for (std::size_t i = 0; i < part.count; ++i) items.push_back({part.record, part.first + i});
    const std::lock_guard lock(stats_mutex_);
    stats_.idle_ms += idle_ms;
    return items;
}

void Scheduler::make(Items items) {
    const auto batch = std::make_shared<BatchRun>(std::move(items));
    try {
        start(batch);
    } catch (...) {
        return recover(*batch, std::current_exception());
    }
    tuner_.measured(batch->first().load, batch->size(), batch->engine_ms * batch->size() * 1e-3);
    const bool all_out = std::ranges::all_of(batch->handed_out, std::identity());
    previous_ = all_out ? nullptr : batch;
    const std::lock_guard lock(stats_mutex_);
    stats_.batch_size = tuner_.batch_size(batch->first().load);
}

// Gives a batch to the engine. On a backend with a queue its pictures come during the next call.
void Scheduler::start(const std::shared_ptr<BatchRun>& batch) {
    std::vector<PictureJob> pictures;
    for (const Item& item : batch->items) {
        const Job& job = item.record->job;
        pictures.push_back({job.prompt, job.negative, job.seeds[item.index], job.start});
    }
    queue_->change([&] {
        for (auto item = batch->items.rbegin(); item != batch->items.rend(); ++item) {
            JobProgress& progress = item->record->progress;
            progress.first = static_cast<int>(item->index);
            progress.step = 0;
        }
        for (const JobRecordPtr& record : batch->jobs) {
            ++record->stats.batches;
            record->stats.largest_batch = std::max(record->stats.largest_batch, batch->size());
        }
    });
    batch->begin = Clock::now();
    engine_.make(*batch->first().job.settings, pictures,
                 {.picture = [this, batch](std::size_t index,
                                           BatchMaker::Picture picture) { hand_out(*batch, index, std::move(picture)); },
                  .progress = [this, batch = batch.get()](int step) { return on_step(*batch, step); },
                  .grid = {},
                  .waiting = [this](std::size_t enough) { return queue_->waiting_prompts(enough); }});
    batch->engine_ms = ms_since(batch->begin) / batch->size();
    batch->is_made = true;
    account(*batch);
    end_complete(*batch);
}

// False: nobody waits for anything of the batch.
bool Scheduler::on_step(BatchRun& batch, int step) {
    if (queue_->note_step(batch.jobs, step)) end_cancelled();
    for (const JobRecordPtr& record : batch.jobs) {
        if (!record->job.progress || !record->is_open()) continue;
        try {
            record->job.progress(record->progress);
        } catch (...) {
            end(*record, JobState::failed, std::current_exception());
        }
    }
    return batch.is_wanted();
}

void Scheduler::hand_out(BatchRun& batch, std::size_t index, BatchMaker::Picture picture) {
    batch.handed_out[index] = true;
    if (batch.is_made && !std::exchange(batch.is_decode_accounted, true)) {
        // What the engine did for it since then was the end of the decoder; the rest is the next batch's.
        StageTimes decode;
        decode.decode_ms = engine_.times().decode_ms - accounted_.decode_ms;
        account(batch, decode);
    }
    const auto& [record, of_job] = batch.items[index];
    if (!record->is_open()) return;
    try {
        const double engine_ms = batch.is_made ? batch.engine_ms : ms_since(batch.begin) / batch.size();
        if (record->job.picture) record->job.picture({of_job, std::move(picture), engine_ms});
        else queue_->change([&, &record = record] { record->pictures.push_back(std::move(picture)); });
        queue_->change([&record = record] { ++record->progress.pictures_done; });
    } catch (...) {
        end(*record, JobState::failed, std::current_exception());
    }
    if (batch.is_made) end_complete(batch);
}

// Jobs of the batch that have all their pictures.
void Scheduler::end_complete(const BatchRun& batch) {
    for (const JobRecordPtr& record : batch.jobs)
        if (record->is_open() && record->progress.pictures_done == record->progress.pictures)
            end(*record, JobState::done, nullptr);
}

void Scheduler::end_cancelled() {
    for (const JobRecordPtr& record : queue_->take_cancelled()) end(*record, JobState::cancelled, nullptr);
}

void Scheduler::fail(const Items& items, const std::exception_ptr& error) {
    for (const Item& item : items)
        if (item.record->is_open()) end(*item.record, JobState::failed, error);
}

// Called once for each job.
void Scheduler::end(JobRecord& record, JobState state, std::exception_ptr error) {
    JobEnd how{queue_->close(record, state), std::move(error), {}};
    if (how.state == JobState::cancelled) how.error = nullptr;
    how.stats = queue_->get(record.stats);
    try {
        if (record.job.finished) record.job.finished(how);
    } catch (...) {
        if (how.state == JobState::done) how = {JobState::failed, std::current_exception(), how.stats};
    }
    record.job.picture = nullptr;
    record.job.progress = nullptr;
    record.job.warning = nullptr;
    record.job.finished = nullptr;
    queue_->settle(record, how);
}

// Charges the jobs of a batch with what the engine did since the last time.
void Scheduler::account(BatchRun& batch) {
    account(batch, difference(engine_.times(), accounted_));
}

void Scheduler::account(BatchRun& batch, const StageTimes& times) {
    add(accounted_, times);
    queue_->change([&] {
        for (const Item& item : batch.items) add(item.record->stats.times, times, 1.0 / batch.size());
    });
    const std::lock_guard lock(stats_mutex_);
    add(stats_.times, times);
}

// What a backend with a queue still holds is handed out, or fails and is not.
std::exception_ptr Scheduler::flush() {
    try {
        engine_.flush();
        return nullptr;
    } catch (...) {
        return std::current_exception();
    }
}

// So many do not fit: fewer from now on.
void Scheduler::too_many(const BatchRun& batch, const std::exception_ptr& error) {
    tuner_.too_many(batch.first().load, batch.size());
    if (batch.size() == 1) return;
    const std::string line = text_of(error) + "; a batch of " + counted(static_cast<std::int64_t>(batch.size()), "picture") +
                             " did not fit, trying fewer";
    if (options_.warning) options_.warning(line);
    for (const JobRecordPtr& record : batch.jobs) {
        if (!record->job.warning || !record->is_open()) continue;
        try {
            record->job.warning(line);
        } catch (...) {
            end(*record, JobState::failed, std::current_exception());
        }
    }
}

// After a batch has failed: it, and the one before where that was not handed out, are made again as far as that can help.
void Scheduler::recover(BatchRun& batch, const std::exception_ptr& error) {
    static_cast<void>(flush());  // the batch before is good, unless the failure was its own
    const auto previous = std::exchange(previous_, nullptr);
    account(batch);
    end_cancelled();
    Items before = previous ? previous->left() : Items{}, items = batch.left();
    const bool is_its_own = before.empty();  // failure
    if (before.empty() && items.empty()) return;
    const Cause cause = cause_of(error);
    if (cause == Cause::other) {
        fail(before, error);
        fail(items, error);
        engine_.drop_caches();
        return;
    }
    const bool tries_alone = cause == Cause::memory && batch.size() == 1;  // with what the caches held
    if (cause == Cause::memory) too_many(batch, error);
    remake(std::move(before), nullptr);
    const bool is_whole = items.size() == batch.items.size();
    remake(std::move(items), is_its_own && is_whole && !tries_alone ? error : nullptr);
}

// Finds the picture that fails among others that do not, and what fits into memory: in halves, waiting for each.
// known: why these failed in one batch, where that was tried. Pictures may be of two batches.
void Scheduler::remake(Items items, std::exception_ptr known) {
    if (std::erase_if(items, [](const Item& item) { return !item.record->is_open(); }) > 0) known = nullptr;
    if (items.empty()) return;
    const JobRecord& first = *items.front().record;
    const bool is_one_batch = items.size() <= static_cast<std::size_t>(tuner_.batch_size(first.load)) &&
                              std::ranges::all_of(items, [&](const Item& i) { return i.record->bucket == first.bucket; });
    if (!known && is_one_batch) {
        const auto batch = std::make_shared<BatchRun>(std::move(items));
        known = try_again(batch);
        items = batch->left();
        if (!known || items.empty()) return;
        const Cause cause = cause_of(known);
        if (cause == Cause::other) return fail(items, known);
        if (cause == Cause::memory) too_many(*batch, known);
        const bool is_whole = items.size() == batch->items.size();
        return remake(std::move(items), is_whole ? known : nullptr);
    }
    if (items.size() == 1) return fail(items, known);
    const auto middle = items.begin() + static_cast<std::ptrdiff_t>(items.size() / 2);
    Items second(std::make_move_iterator(middle), std::make_move_iterator(items.end()));
    items.erase(middle, items.end());
    remake(std::move(items), nullptr);
    remake(std::move(second), nullptr);
}

// Makes a batch from clean caches and waits for its pictures. Null, or why they did not come.
std::exception_ptr Scheduler::try_again(const std::shared_ptr<BatchRun>& batch) {
    std::exception_ptr error;
    try {
        engine_.drop_caches();
        start(batch);
        engine_.flush();
    } catch (...) {
        error = std::current_exception();
        static_cast<void>(flush());
    }
    account(*batch);
    end_complete(*batch);
    end_cancelled();
    return error;
}

}  // namespace t2i
