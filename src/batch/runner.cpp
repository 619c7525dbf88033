#include "batch/runner.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "batch/folder.h"
#include "batch/manifest.h"
#include "batch/request_fields.h"
#include "batch/request_id.h"
#include "core/files.h"
#include "core/folders.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "core/threads.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"

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
    open_journal();
    kept_ = std::make_unique<KeptFiles>(folder_, options_.shard, index_);
    outputs_ = open_outputs(options_.output, options_.shard, index_, lacks_, kept_->unrecorded());
    folds_case_ = !options_.output.webdataset && folds_case(unfinished_folder(folder_, options_.shard));
    sync_folder(folder_, lacks_);
    sub_folders_ = needs_sub_folders(options_);
}

// Reads what earlier runs left, and refuses what is not theirs before anything is changed.
void Runner::open_journal() {
    const std::string suffix = options_.shard.suffix();
    const std::string journal = folder_ + "/journal" + suffix + ".jsonl";
    const std::string failures = folder_ + "/failed" + suffix + ".jsonl";
    check_no_strangers(folder_, options_.shard);
    std::uint64_t whole_bytes = 0;
    bool is_cut_short = false;
    index_.read(folder_, [&](const std::string& path, const JournalDamage& damage) {
        // Another process may be writing to another journal just now.
        if (path == journal && damage.cut_short) {
            is_cut_short = true;
            whole_bytes = damage.whole_bytes;
            reporter_.warning(path + ": its last line is cut short; that picture is made again");
        }
        if (damage.bad_lines > 0)
            reporter_.warning(path + ": " + counted(static_cast<std::int64_t>(damage.bad_lines), "damaged line") +
                              "; pictures that no other line names are made again");
    });
    check_same_form(index_, options_);
    journal_ = std::make_unique<AppendFile>(journal, &lacks_);
    if (is_cut_short) journal_->cut_to(whole_bytes);
    open_manifest(journal);
    remove_file(failures);
}

// The manifest as the journal has it: cut back to its last picture, or written again where it lacks some.
void Runner::open_manifest(const std::string& journal) {
    const std::string path = manifest_of(journal);
    std::optional<JournalRecord> last = index_.last_record(journal);
    if (!manifest_fits(index_, journal)) {
        const auto unfinished = unfinished_folder(folder_, options_.shard);
        fs::create_directory(unfinished);
        const RebuiltManifest rebuilt = rebuild_manifest(journal, unfinished + "/manifest.jsonl", lacks_);
        reporter_.warning(path + ": did not match the journal; written again from it" +
                          (rebuilt.lost == 0
                               ? ""
                               : ", without " + std::to_string(rebuilt.lost) +
                                     (rebuilt.lost == 1 ? " picture of t2i 0.1.0, whose journal does not describe it"
                                                        : " pictures of t2i 0.1.0, whose journal does not describe them")));
        if (std::exchange(last->manifest_end, rebuilt.bytes) != rebuilt.bytes) journal_->append(journal_line(*last));
    }
    manifest_ = std::make_unique<AppendFile>(path, &lacks_);
    manifest_->cut_to(last ? last->manifest_end : 0);
}

// Makes the output folder, not those above it.
std::string Runner::open_folder() {
    check_defaults(engine_, options_.defaults);
    std::string folder = options_.output.folder;
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    make_folder(folder);
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
        tell_finished();
        if (replaced_ > 0 && !failure_) compact_manifest();
        outputs_.reset();
        // Files whose lines could not be written to the journal are known as ours by the list of names in it.
        std::error_code ignored;
        if (unrecorded_files_ == 0) fs::remove_all(unfinished_folder(folder_, options_.shard), ignored);
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

std::string choose_file(const OutputOptions& options, bool metadata, Picture& picture) {
    try {
        if (!options.webdataset) picture.file = file_of(options, picture);
        if (metadata) check_prompt_fits(options.encoding.format, picture.text->prompt, picture.text->negative_prompt);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

void check_no_strangers(const std::string& folder, const Shard& shard) {
    const std::string suffix = shard.suffix(), journal = folder + "/journal" + suffix + ".jsonl";
    if (fs::exists(journal)) return;
    for (const auto& path : {manifest_of(journal), folder + "/failed" + suffix + ".jsonl"})
        if (std::error_code ec; exists_at_all(path) && fs::file_size(path, ec) != 0) throw without_journal(path);
}

void check_same_form(const JournalIndex& index, const BatchOptions& options) {
    const std::string advice = "; use the same flags, or name another folder";
    for (const auto& path : index.paths()) {
        const auto record = index.last_picture(path);
        if (!record) continue;
        if ((record->tar_end > 0) != options.output.webdataset)
            throw Error(
                ErrorCode::invalid_argument,
                "the pictures in this folder are " + std::string(record->tar_end > 0 ? "in tar shards" : "a file each") + advice,
                Field{"output_format"});
        // 0.1.0 wrote PNGs alone, and did not say so.
        const std::string made = record->encoding.empty() ? "png" : record->encoding,
                          wanted = encoding_text(options.output.encoding);
        if (made != wanted) {
            const bool same_format = made.substr(0, made.find(' ')) == wanted.substr(0, wanted.find(' '));
            throw Error(ErrorCode::invalid_argument, "the pictures in this folder are " + made + ", not " + wanted + advice,
                        Field{same_format ? "quality" : "image_format"});
        }
        // 0.1.0 did not write down the template: names that it makes of ids alone can be told.
        const std::string plain = "{id}", file = record->id + extension_of(options.output.encoding.format);
        const bool is_plain = record->file == file || record->file.ends_with("/" + file);
        const bool same_name = !record->name.empty() ? record->name == options.output.name
                                                     : record->tar_end > 0 || is_plain == (options.output.name == plain);
        if (!same_name)
            throw Error(ErrorCode::invalid_argument,
                        "the pictures in this folder have names " +
                            (record->name.empty() ? "such as " + in_quotes(record->file) : "by " + in_quotes(record->name)) +
                            advice,
                        Field{"name"});
        if (!record->version.empty() && record->metadata != options.metadata)
            throw Error(ErrorCode::invalid_argument,
                        std::string("the pictures in this folder ") + (record->metadata ? "hold" : "do not hold") +
                            " their parameters" + advice,
                        Field{"metadata"});
    }
}

bool needs_sub_folders(const BatchOptions& options) {
    return options.input != "-" && holds_more_than(options.input, options.prompts, most_flat_files);
}

PrepareOptions prepare_options(const BatchOptions& options) {
    return {.defaults = options.defaults,
            .picks_seed = options.picks_seed,
            .shard = options.shard,
            .retry_failed = options.retry_failed,
            .remake = options.remake,
            .quick_check = options.quick_check,
            .dotless_ids = options.output.webdataset,
            .folder = options.output.folder,
            .prompt_folder = is_plain_file(options.input) ? fs::path(options.input).parent_path().string() : std::string()};
}

void Runner::read() {
    Scheduler::Feed feed(*scheduler_);
    const auto idle = [&feed](bool is) { feed.set_idle(is); };
    const auto file = open_prompts(options_.input, options_.prompts, interrupt_.fd(), idle);
    PrepareOptions prepare = prepare_options(options_);
    prepare.folds_case = folds_case_;
    Preparer preparer(engine_, index_, identity_, std::move(prepare));
    PromptEntry entry;
    while (!interrupt_.requested() && !failed_ && file->next(entry)) {
        if (file->size_bytes() > 0) read_permille_ = static_cast<std::int64_t>(file->bytes_read() * 1000 / file->size_bytes());
        read_entry(entry, preparer);
    }
    for (auto& note : file->notes()) warn(std::move(note));
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
    if (!found.pictures.empty())
        if (const auto& remark = found.pictures.front().settings->resolved.plan->remark;
            !remark.empty() && remarks_.insert(remark).second)
            warn(remark);
    const bool is_bad = !entry.problem.empty();
    // Every shard reads every line; one of them reports a bad one.
    const bool reports = is_bad && options_.shard.owns_line(entry.line);
    count(found, reports);
    if (reports) {
        JournalRecord record;
        if (entry.request) record.id = entry.request->id;
        record.failed = entry.problem;
        reject(entry.line, record, entry.text, false);
    }
    for (auto& record : found.failed) reject(entry.line, record, {}, false);
    for (const auto& left : found.left) leave(entry.line, left);
    for (auto& picture : found.pictures) {
        if (interrupt_.requested() || failed_) return;
        hand_on(std::move(picture));
    }
}

void Runner::count(const Preparation& found, bool is_reported) {
    const std::lock_guard lock(mutex_);
    ++status_.lines;
    status_.bad_lines += is_reported;
    status_.asked += static_cast<std::int64_t>(found.pictures.size() + found.failed.size() + found.left.size()) + found.done;
    status_.skipped += found.done;
    status_.skipped_0_1 += found.done_0_1;
    status_.changed += found.changed;
    status_.damaged += found.damaged;
    status_.cut += !found.pictures.empty() && !found.pictures.front().text->cut.empty();
    const Engine::Doubt doubt = found.pictures.empty() ? Engine::Doubt::none : found.pictures.front().text->doubt;
    status_.unknown += doubt == Engine::Doubt::no_known_word;
    status_.cleaned_away += doubt == Engine::Doubt::cleaned_away;
}

void Runner::leave(std::int64_t line, const LeftPicture& left) {
    Finished finished;
    finished.written.record.id = left.id;
    finished.written.record.failed = left.reason;
    finished.line = line;
    finished.in_journal = false;
    finished.is_left = true;
    finished_.push(std::move(finished), 1);
}

void Runner::hand_on(Picture picture) {
    OutputOptions output = options_.output;
    {
        const std::lock_guard lock(mutex_);
        output.sub_folders = sub_folders_ || status_.asked > static_cast<std::int64_t>(most_flat_files);
    }
    std::string problem = choose_file(output, options_.metadata, picture);
    if (problem.empty() && !output.webdataset) problem = kept_->claim(picture, identity_);
    if (!problem.empty()) {
        JournalRecord record;
        record.id = picture.id;
        record.failed = problem;
        return reject(picture.line, record, excerpt(picture.text->prompt), false);
    }
    picture.may_replace = !output.webdataset && exists_at_all(folder_ + "/" + picture.file);
    outputs_->announce(picture);
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
    s.text_s = (scheduler.times.load_ms + scheduler.times.text_ms) * 1e-3;
    s.denoise_s = (scheduler.times.prepare_ms + scheduler.times.denoise_ms) * 1e-3;
    s.decode_s = scheduler.times.decode_ms * 1e-3;
    s.starved_s = scheduler.idle_ms * 1e-3;
    s.batch_size = scheduler.batch_size;
    s.requests_waiting = scheduler.waiting_jobs;
    s.pictures_waiting = made_.size();
    return s;
}

}  // namespace t2i::batch
