#include "batch/runner.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "batch/folder.h"
#include "batch/request_fields.h"
#include "batch/request_id.h"
#include "core/nearest.h"
#include "core/threads.h"

namespace t2i::batch {

namespace fs = std::filesystem;

namespace {

// Look-ahead: enough that batches fill, small enough that memory and the time to the first step do not notice.
constexpr std::size_t waiting_jobs = 1024, waiting_job_bytes = std::size_t{16} << 20;
// Pictures that wait to be written: two large batches of 256x256.
constexpr std::size_t waiting_pictures = 64, waiting_picture_bytes = std::size_t{64} << 20;
constexpr std::size_t waiting_finished = 1024;

}  // namespace

Runner::Runner(Engine& engine, BatchOptions options, Reporter& reporter, const Interrupt& interrupt)
    : engine_(engine),
      options_(std::move(options)),
      reporter_(reporter),
      interrupt_(interrupt),
      folder_(open_folder()),  // nothing is touched before the defaults are known to be good
      lock_(folder_, options_.shard, lacks_),
      identity_(engine, options_.vae),
      made_(waiting_pictures, waiting_picture_bytes),
      finished_(waiting_finished, waiting_picture_bytes) {
    // Before anything is left in the folder: there may be no thread for it.
    scheduler_ =
        std::make_unique<Scheduler>(engine_, SchedulerOptions{.batch_size = options_.engine_batch,
                                                              .most_waiting_jobs = waiting_jobs,
                                                              .most_waiting_bytes = waiting_job_bytes,
                                                              .warning = [this](const std::string& line) { warn(line); }});
    const std::string suffix = options_.shard.suffix();
    const std::string journal = folder_ + "/journal" + suffix + ".jsonl";
    journal_ = std::make_unique<AppendFile>(journal, &lacks_);
    index_.read(folder_, [&](const std::string& path, const JournalDamage& damage) {
        // Another process may be writing to another journal just now.
        if (path == journal && damage.cut_short) {
            journal_->cut_to(damage.whole_bytes);
            reporter_.warning(path + ": its last line is cut short; that picture is made again");
        }
        if (damage.bad_lines > 0)
            reporter_.warning(path + ": " + std::to_string(damage.bad_lines) + " damaged lines; their pictures are made again");
    });
    manifest_ = std::make_unique<AppendFile>(folder_ + "/manifest" + suffix + ".jsonl", &lacks_);
    manifest_->cut_to(index_.manifest_end(journal).value_or(0));
    const std::string failures = folder_ + "/failed" + suffix + ".jsonl";
    fs::remove(failures);
    outputs_ = open_outputs(options_.output, options_.shard, index_, lacks_);
    folds_case_ = !options_.output.webdataset && folds_case(unfinished_folder(folder_, options_.shard));
    sync_folder(folder_, lacks_);
    sub_folders_ = options_.input != "-" && holds_more_than(options_.input, options_.format, most_flat_files);
}

// Makes the output folder, not those above it.
std::string Runner::open_folder() {
    static_cast<void>(engine_.resolve(options_.defaults));
    std::string folder = options_.output.folder;
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    std::error_code ec;
    fs::create_directory(folder, ec);
    if (ec) throw Error(ErrorCode::input, "output folder cannot be made: " + ec.message(), folder);
    options_.output.folder = folder;
    return folder;
}

// The last stage first: each finds the one that takes what it makes.
void Runner::start(Threads& threads) {
    const auto guarded = [this](void (Runner::*stage)()) {
        return [this, stage] {
            try {
                (this->*stage)();
            } catch (...) {
                fail(std::current_exception());
                if (stage == &Runner::write) made_.abandon();
            }
        };
    };
    // Two at least: while one waits for the disk the other packs a PNG.
    const unsigned writers = std::clamp(std::thread::hardware_concurrency() / 2, 2U, 8U);
    threads.writers.reserve(writers);
    threads.committer = start_thread(guarded(&Runner::commit));
    for (unsigned i = 0; i < writers; ++i) threads.writers.push_back(start_thread(guarded(&Runner::write)));
    threads.reader = start_thread(guarded(&Runner::read));
}

Status Runner::run() {
    start_ = std::chrono::steady_clock::now();
    Threads threads;
    try {
        start(threads);
    } catch (...) {  // of what there is each ends, one after the other, as at the end of any run
        fail(std::current_exception());
    }
    if (threads.reader.joinable()) threads.reader.join();
    scheduler_->wait_until_empty();
    made_.close();
    for (auto& writer : threads.writers) writer.join();
    finished_.close();
    if (threads.committer.joinable()) threads.committer.join();
    try {
        outputs_->finish();
        if (replaced_ > 0 && !failure_) compact_manifest();
        outputs_.reset();
        std::error_code ignored;
        fs::remove_all(unfinished_folder(folder_, options_.shard), ignored);
    } catch (...) {
        fail(std::current_exception());
    }
    tell_warnings();
    const Status last = status();
    reporter_.summary(last, interrupt_.requested());
    if (failure_) std::rethrow_exception(failure_);
    return last;
}

// The first failure counts. What is made already goes on to the disk, unless that is what failed.
void Runner::fail(std::exception_ptr why) {
    {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::move(why);
        failed_ = true;
    }
    scheduler_->abort();
}

// Pictures that were made again have two lines in the manifest; the later one counts.
void Runner::compact_manifest() {
    const std::string path = manifest_->path();
    manifest_.reset();
    last_.manifest_end = keep_last_lines(path, unfinished_folder(folder_, options_.shard) + "/manifest.jsonl", lacks_);
    journal_->append(journal_line(last_));  // the journal vouches for so many bytes of it
}

PrepareOptions prepare_options(const BatchOptions& options) {
    return {.defaults = options.defaults,
            .picks_seed = options.picks_seed,
            .shard = options.shard,
            .retry_failed = options.retry_failed,
            .quick_check = options.quick_check,
            .dotless_ids = options.output.webdataset,
            .folder = options.output.folder};
}

void Runner::read() {
    Scheduler::Feed feed(*scheduler_);
    const auto idle = [&feed](bool is) { feed.set_idle(is); };
    const auto file = read_prompts(open_source(options_.input, interrupt_.fd(), idle), options_.format,
                                   options_.input == "-" ? "standard input" : options_.input);
    PrepareOptions prepare = prepare_options(options_);
    prepare.folds_case = folds_case_;
    Preparer preparer(engine_, index_, identity_, std::move(prepare));
    PromptEntry entry;
    while (!interrupt_.requested() && !failed_ && file->next(entry)) {
        if (file->size_bytes() > 0) read_permille_ = static_cast<std::int64_t>(file->bytes_read() * 1000 / file->size_bytes());
        read_entry(entry, preparer);
    }
    if (interrupt_.requested()) scheduler_->close();  // before the feed ends, which would start what waits
    else read_permille_ = 1000;
}

void Runner::read_entry(PromptEntry& entry, Preparer& preparer) {
    Preparation found;
    if (entry.request) {
        try {
            found = preparer.prepare(entry);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::invalid_argument && error.code() != ErrorCode::input) throw;
            entry.problem = problem_of(error);
            entry.text = excerpt(entry.request->request.prompt);
        }
    }
    const bool is_bad = !entry.problem.empty();
    // Every shard reads every line; one of them reports a bad one.
    const bool reports = is_bad && options_.shard.owns_line(entry.line);
    {
        const std::lock_guard lock(mutex_);
        ++status_.lines;
        status_.bad_lines += reports;
        status_.asked += static_cast<std::int64_t>(found.pictures.size() + found.failed.size()) + found.done;
        status_.skipped += found.done;
        status_.changed += found.changed;
        status_.damaged += found.damaged;
        status_.cut += !found.pictures.empty() && !found.pictures.front().text->cut.empty();
        status_.unknown += !found.pictures.empty() && found.pictures.front().text->unknown;
    }
    if (reports) {
        JournalRecord record;
        if (entry.request) record.id = entry.request->id;
        record.failed = entry.problem;
        reject(entry.line, record, entry.text, false);
    }
    for (auto& record : found.failed) reject(entry.line, record, {}, false);
    for (auto& picture : found.pictures) {
        if (interrupt_.requested() || failed_) return;
        hand_on(std::move(picture));
    }
}

void Runner::hand_on(Picture picture) {
    OutputOptions output = options_.output;
    {
        const std::lock_guard lock(mutex_);
        output.sub_folders = sub_folders_ || status_.asked > static_cast<std::int64_t>(most_flat_files);
    }
    try {
        if (!output.webdataset) {
            picture.file = file_of(output, picture);
            IdEntry& name = names_.at(hash64(picture.file));
            if (name.seen)
                throw Error(ErrorCode::input, "its file's name is that of an earlier line's: " + in_quotes(picture.file));
            name.seen = 1;
        }
    } catch (const Error& error) {
        JournalRecord record;
        record.id = picture.id;
        record.failed = error.what();
        return reject(picture.line, record, excerpt(picture.text->prompt), false);
    }
    submit(std::move(picture));
}

void Runner::reject(std::int64_t line, JournalRecord record, std::string text, bool in_journal) {
    Finished finished;
    finished.written.record = std::move(record);
    finished.line = line;
    finished.text = std::move(text);
    finished.in_journal = in_journal;
    finished_.push(std::move(finished), 1);
}

Status Runner::status() const {
    const SchedulerStats scheduler = scheduler_->stats();
    const std::lock_guard lock(mutex_);
    Status s = status_;
    s.read_share = static_cast<double>(read_permille_.load()) / 1000;
    s.seconds = seconds_since(start_);
    s.text_s = scheduler.times.text_ms * 1e-3;
    s.denoise_s = (scheduler.times.prepare_ms + scheduler.times.denoise_ms) * 1e-3;
    s.decode_s = scheduler.times.decode_ms * 1e-3;
    s.starved_s = scheduler.idle_ms * 1e-3;
    s.batch_size = scheduler.batch_size;
    s.requests_waiting = scheduler.waiting_jobs;
    s.pictures_waiting = made_.size();
    return s;
}

}  // namespace t2i::batch
