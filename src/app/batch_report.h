// What t2i batch prints: a line that is drawn over or logged, or JSON lines; finished files; a file of metrics.
#pragma once

#include <chrono>
#include <string>

#include "app/status_line.h"
#include "batch/progress.h"

namespace t2i::app {

// One thread at a time.
class BatchReport final : public batch::Reporter {
  public:
    struct Options {
        bool json = false;         // JSON lines on standard error instead of text
        bool quiet = false;        // errors and failures only
        bool list_files = true;    // finished files, on standard output
        std::string metrics_file;  // may be empty; standard output gets it once, at the end, and no files
    };
    explicit BatchReport(Options options);
    // What runs where, before anything else.
    void started(const std::string& line);
    // What must be known with quiet, too.
    void notice(const std::string& line);

    void warning(const std::string& line) override;
    void failed(std::int64_t line, const std::string& id, const std::string& reason) override;
    // The first few as text, all as JSON; failed.jsonl names them all, too.
    void left(std::int64_t line, const std::string& id, const std::string& reason) override;
    void finished(const std::string& path) override;
    // Draws, logs or writes metrics when it is time to.
    void tick(const batch::Status& status) override;
    void summary(const batch::Status& status, bool interrupted) override;

  private:
    using Clock = std::chrono::steady_clock;
    void write_metrics(const batch::Status& status, bool finished);

    Options options_;
    void print_event(const char* event, const std::string& line);

    bool streams_metrics_, metrics_broken_ = false;
    std::int64_t left_ = 0;  // that were told of
    StatusLine line_;
    Clock::time_point last_line_ = Clock::now(), last_metrics_{};
};

}  // namespace t2i::app
