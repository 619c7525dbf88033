// The run: a prompt file in, pictures out, as stages with bounded queues between them.
//
//     reader ─▶ scheduler ─▶ writers (PNG, SHA-256, file) ─▶ committer (sync, manifest, journal, report)
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "batch/files.h"
#include "batch/interrupt.h"
#include "batch/kept_files.h"
#include "batch/model_identity.h"
#include "batch/outputs.h"
#include "batch/prepare.h"
#include "batch/progress.h"
#include "batch/prompt_file.h"
#include "core/bounded_queue.h"
#include "pipeline/engine.h"
#include "pipeline/scheduler.h"
#include "t2i/error.h"

namespace t2i::batch {

struct BatchOptions {
    std::string input;      // a path, or "-"
    PromptOptions prompts;  // how it is read
    OutputOptions output;
    GenerateRequest defaults;  // of lines that leave a field unset
    bool picks_seed = false;   // the run's seed is below 0
    Shard shard;
    bool retry_failed = false, quick_check = false;
    bool remake = false;  // pictures of other requests, or changed since, are made again instead of left
    bool metadata = true;
    int engine_batch = 0;  // 0: by measurement
    std::string vae;       // as the engine was given it
};

// What the lines of a file are prepared with: the same for a run and for its estimate.
[[nodiscard]] PrepareOptions prepare_options(const BatchOptions& options);

// Throws Error{input}: a manifest or a list of failures stands in the folder that no journal vouches for.
void check_no_strangers(const std::string& folder, const Shard& shard);

// Sets picture.file, unless all go into tar shards. Returns why there can be no such file, "" where there can: a name that is too
// long, a prompt that the format's metadata does not hold.
[[nodiscard]] std::string choose_file(const OutputOptions& options, bool metadata, Picture& picture);

// A request that failed, or a picture that is done.
struct Finished {
    Written written;  // record.failed: why there is no picture
    std::int64_t line = 0;
    std::string text;  // of a bad line
    bool in_journal = true;
    bool is_left = false;  // there is an earlier one, which stays
};

// Throws Error{invalid_argument} where a run would put pictures beside others of another form: files and archives, other names,
// with and without their parameters.
void check_same_form(const JournalIndex& index, const BatchOptions& options);
// Whether so many pictures are expected that they go to sub-folders.
[[nodiscard]] bool needs_sub_folders(const BatchOptions& options);

class Runner {
  public:
    // All outlive it; nobody else makes pictures with the engine meanwhile. Throws Error: input (folder, lock, journal),
    // invalid_argument (defaults out of range).
    Runner(Engine& engine, BatchOptions options, Reporter& reporter, const Interrupt& interrupt);
    // Once: to the end, or until the interrupt. What was finished is kept whatever happens.
    // Throws Error: input (a full disk, a header that is wrong), resource.
    Status run();

  private:
    struct Threads {
        std::thread reader, committer;
        std::vector<std::thread> writers;
    };
    struct MadePicture {
        Picture picture;
        Engine::Picture pixels;
        double engine_ms = 0;
    };

    // Stages; each runs on threads of its own, and so does the scheduler.
    void start(Threads& threads);
    void read();
    void write();
    void commit();

    void read_entry(PromptEntry& entry, Preparer& preparer);
    [[nodiscard]] std::string open_folder();
    void open_journal();
    void open_manifest(const std::string& journal);
    void count(const Preparation& found, bool is_reported);
    void leave(std::int64_t line, const LeftPicture& left);
    void hand_on(Picture picture);
    void reject(std::int64_t line, JournalRecord record, std::string text, bool in_journal);
    void submit(Picture picture);
    void give_up(const Picture& picture, const std::exception_ptr& why);
    void write_picture(MadePicture made);
    [[nodiscard]] bool put_there(Written& written);
    void commit_group(std::vector<Finished> group);
    void report_failed(const std::vector<Finished>& failed);
    [[nodiscard]] Status status() const;
    void fail(std::exception_ptr why);
    void warn(std::string line);
    void tell_warnings();
    void tell_finished();
    void tell_older_sample(const Picture& picture);
    void compact_manifest();

    [[nodiscard]] static double seconds_since(std::chrono::steady_clock::time_point start) {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }

    Engine& engine_;
    BatchOptions options_;
    Reporter& reporter_;
    const Interrupt& interrupt_;

    std::string folder_;
    FileSystemLacks lacks_;
    FolderLock lock_;
    JournalIndex index_;
    std::unique_ptr<AppendFile> journal_, manifest_, failures_;
    std::unique_ptr<KeptFiles> kept_;
    std::unique_ptr<Outputs> outputs_;
    ModelIdentity identity_;
    bool sub_folders_ = false;
    bool folds_case_ = false;

    BoundedQueue<MadePicture> made_;
    BoundedQueue<Finished> finished_;
    std::set<std::string> told_shards_;  // that keep older samples; the committer's
    std::set<std::string> remarks_;      // of plans, each said once; the reader's
    int in_a_row_ = 0;                   // pictures that could not be made for want of memory, one after the other
    std::int64_t replaced_ = 0;          // pictures of this run that take an earlier one's place
    JournalRecord last_;                 // that was committed

    mutable std::mutex mutex_;           // of the next three
    std::vector<std::string> warnings_;  // for the committer, which reports
    Status status_;
    std::exception_ptr failure_;
    std::atomic<bool> failed_{false};
    std::atomic<std::int64_t> unrecorded_files_{0};  // written, and not in the journal
    std::atomic<std::int64_t> read_permille_{-1};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::unique_ptr<Scheduler> scheduler_;  // last: its callbacks use the rest
};

}  // namespace t2i::batch
