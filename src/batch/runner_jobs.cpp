// The pictures of a run as jobs of the scheduler, and what becomes of them.
#include <utility>

#include "batch/runner.h"
#include "t2i/version.h"

namespace t2i::batch {

namespace {

using Clock = std::chrono::steady_clock;

// After so many pictures in a row that could not be made for want of memory or a device, the next ones will not be either.
constexpr int most_in_a_row = 3;

}  // namespace

// The callbacks of its job own the picture until it goes on to the writers.
void Runner::submit(Picture picture) {
    const auto shared = std::make_shared<Picture>(std::move(picture));
    Job job;
    job.settings = {shared->settings, &shared->settings->resolved};
    job.prompt = shared->text->prompt_ids;
    job.negative = shared->text->negative_ids;
    job.seeds = {shared->seed};
    job.start = shared->text->start;
    job.bytes = shared->bytes();
    job.picture = [this, shared](JobPicture made) {
        const auto begin = Clock::now();
        const std::size_t bytes = made.picture.rgb.size();
        made_.push({std::move(*shared), std::move(made.picture), made.engine_ms}, bytes);
        const std::lock_guard lock(mutex_);
        status_.blocked_s += seconds_since(begin);
    };
    // What is in flight is finished after an interrupt, too; not when its result could not be written (see fail()).
    job.progress = [this](const JobProgress&) {
        if (interrupt_.requested()) scheduler_->close();
    };
    job.finished = [this, shared](const JobEnd& end) {
        if (end.state == JobState::done) in_a_row_ = 0;
        if (end.state == JobState::failed) give_up(*shared, end.error);
    };
    scheduler_->submit(std::move(job));
}

// On the scheduler's thread.
void Runner::give_up(const Picture& picture, const std::exception_ptr& why) {
    try {
        std::rethrow_exception(why);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::resource && error.code() != ErrorCode::input) return fail(why);
        // Without memory the next start may have more of it; what is wrong with the numbers stays wrong.
        const bool for_good = error.code() == ErrorCode::input;
        in_a_row_ = for_good ? 0 : in_a_row_ + 1;
        if (in_a_row_ >= most_in_a_row) return fail(why);
        JournalRecord record;
        record.id = picture.id;
        record.request = picture.request.empty() ? identity_.request_hash(picture) : picture.request;
        record.version = T2I_VERSION;
        record.failed = error.what();
        record.finished = utc_now();
        reject(picture.line, std::move(record), excerpt(picture.text->prompt), for_good);
    } catch (...) {
        fail(why);
    }
}

}  // namespace t2i::batch
