// What a run tells about itself: its status as a line, as JSON and as metrics, and who hears of it.
#pragma once

#include <cstdint>
#include <string>

#include "batch/journal.h"

namespace t2i::batch {

// A moment of a run. Counts are of this process.
struct Status {
    std::int64_t lines = 0;                 // read
    std::int64_t bad_lines = 0;             // of them
    std::int64_t asked = 0;                 // pictures that the lines ask for
    std::int64_t skipped = 0;               // made by an earlier run and still there
    std::int64_t skipped_0_1 = 0;           // of them, by 0.1.0
    std::int64_t made = 0;                  // by this one, safe on disk
    std::int64_t failed = 0;                // bad lines, and pictures that could not be made
    std::int64_t left = 0;                  // made by an earlier run otherwise than is asked now, and left
    std::int64_t changed = 0, damaged = 0;  // remade: another request under the id, a file that was not what it should be
    std::int64_t cut = 0;                   // prompts longer than the model takes
    std::int64_t unknown = 0;               // prompts without a word that the model has learnt
    std::int64_t cleaned_away = 0;          // prompts of which their cleaning left nothing
    int batch_size = 0;                     // pictures made at a time
    double read_share = 0;                  // of the prompt file, [0, 1]; below 0: not known
    double seconds = 0;                     // since the start
    double text_s = 0, denoise_s = 0, decode_s = 0;  // of the engine
    double starved_s = 0;                            // the engine waited for requests
    double blocked_s = 0;                            // the engine waited for pictures to be written
    std::size_t requests_waiting = 0, pictures_waiting = 0;

    [[nodiscard]] double rate() const;             // pictures a second
    [[nodiscard]] std::int64_t expected() const;   // pictures in all; below 0: not known
    [[nodiscard]] double seconds_left() const;     // below 0: not known
    [[nodiscard]] const char* bottleneck() const;  // "reading", "text", "denoising", "decoding", "writing"
};

// "1:02:03", "4:05".
[[nodiscard]] std::string duration_text(double seconds);
// One line without a line break.
[[nodiscard]] std::string status_text(const Status& status);
[[nodiscard]] std::string status_json(const Status& status, const char* event);
// Prometheus' text format.
[[nodiscard]] std::string status_metrics(const Status& status, bool finished);

// Who hears of a run. Calls come one at a time, from the thread that commits and from the one that runs it. An exception ends the
// run as a failure of its own would.
class Reporter {
  public:
    virtual ~Reporter() = default;
    virtual void warning(const std::string& line) = 0;
    // line: of the prompt file; id: may be empty.
    virtual void failed(std::int64_t line, const std::string& id, const std::string& reason) = 0;
    // As failed(), of a picture of an earlier run that is left, although its line asks for another.
    virtual void left(std::int64_t line, const std::string& id, const std::string& reason) = 0;
    // path: of a picture, or a tar shard, that is whole and safe on disk.
    virtual void finished(const std::string& path) = 0;
    // Several times a second while the run lasts.
    virtual void tick(const Status& status) = 0;
    // Once, at the end.
    virtual void summary(const Status& status, bool interrupted) = 0;
};

}  // namespace t2i::batch
