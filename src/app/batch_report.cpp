#include "app/batch_report.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/standard_streams.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr std::chrono::milliseconds redraw_every{200};
constexpr std::int64_t most_left = 20;  // lines about pictures that are left; there may be a whole folder of them
constexpr std::chrono::seconds log_every{10}, metrics_every{5};

// One event as a line of JSON; text that is no UTF-8 is shown with replacement characters.
void print_json(const nlohmann::ordered_json& event) {
    std::fprintf(stderr, "%s\n", escaped_json(event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).c_str());
}

std::string left_text(std::int64_t pictures) {
    return std::to_string(pictures) +
           (pictures == 1
                ? " picture of an earlier run differs from what its line asks for now and is left as it is (--remake makes it "
                  "again)"
                : " pictures of earlier runs differ from what their lines ask for now and are left as they are (--remake "
                  "makes them again)");
}

std::string summary_text(const batch::Status& s) {
    std::array<char, 64> rate{};
    std::snprintf(rate.data(), rate.size(), "%.2f", s.rate());
    std::string text = counted(s.made, "picture") + " made in " + batch::duration_text(s.seconds) + " (" + rate.data() + "/s)";
    if (s.skipped > 0) text += ", " + std::to_string(s.skipped) + (s.skipped == 1 ? " was" : " were") + " done already";
    if (s.skipped_0_1 > 0)
        text += " (" + std::to_string(s.skipped_0_1) + " of them by t2i 0.1.0, which noted of a model its weights alone)";
    if (s.left > 0) text += ", " + left_text(s.left);
    if (s.changed > 0)
        text +=
            ", " + std::to_string(s.changed) + " made again because " + (s.changed == 1 ? "its" : "their") + " request changed";
    if (s.damaged > 0)
        text += ", " + std::to_string(s.damaged) + " made again because " + (s.damaged == 1 ? "its" : "their") +
                " file was gone or damaged";
    if (s.cut > 0) text += ", " + counted(s.cut, "prompt was", "prompts were") + " longer than the model takes and cut";
    if (s.cleaned_away > 0) text += ", cleaning left nothing of " + counted(s.cleaned_away, "prompt");
    if (s.unknown > 0)
        text += ", " + counted(s.unknown, "prompt") + " had no word that the model has learnt (t2i inspect lists them)";
    if (s.failed > 0) text += ", " + std::to_string(s.failed) + " failed (see failed.jsonl)";
    return text;
}

}  // namespace

BatchReport::BatchReport(Options options)
    : options_(std::move(options)),
      streams_metrics_(!options_.metrics_file.empty() && is_standard_output(options_.metrics_file)) {}

void BatchReport::print_event(const char* event, const std::string& line) {
    line_.clear();
    if (options_.json) print_json({{"event", event}, {"time", batch::utc_now()}, {"message", line}});
    else std::fprintf(stderr, "%s\n", escaped(line).c_str());
}

void BatchReport::started(const std::string& line) {
    if (!options_.quiet) print_event("start", line);
}

void BatchReport::notice(const std::string& line) {
    print_event("notice", line);
}

void BatchReport::warning(const std::string& line) {
    if (!options_.quiet) print_event("warning", options_.json ? line : "t2i: warning: " + line);
}

void BatchReport::failed(std::int64_t line, const std::string& id, const std::string& reason) {
    line_.clear();
    if (options_.json) {
        print_json({{"event", "failed"}, {"time", batch::utc_now()}, {"line", line}, {"id", id}, {"reason", reason}});
    } else {
        std::fprintf(stderr, "t2i: line %lld: %s\n", static_cast<long long>(line), escaped(reason).c_str());
    }
}

void BatchReport::left(std::int64_t line, const std::string& id, const std::string& reason) {
    line_.clear();
    ++left_;
    if (options_.json) {
        print_json({{"event", "left"}, {"time", batch::utc_now()}, {"line", line}, {"id", id}, {"reason", reason}});
    } else if (left_ <= most_left) {
        std::fprintf(stderr, "t2i: line %lld: %s\n", static_cast<long long>(line), escaped(reason).c_str());
    } else if (left_ == most_left + 1) {
        std::fprintf(stderr, "t2i: more pictures are left as they are; --log-format json names them all\n");
    }
}

void BatchReport::finished(const std::string& path) {
    if (!options_.list_files || streams_metrics_) return;
    line_.clear();
    std::printf("%s\n", listed(path).c_str());
    std::fflush(stdout);
}

void BatchReport::tick(const batch::Status& status) {
    const auto now = Clock::now();
    if (!options_.metrics_file.empty() && !streams_metrics_ && now - last_metrics_ >= metrics_every) {
        last_metrics_ = now;
        write_metrics(status, false);
    }
    const bool draws = line_.draws() && !options_.json;
    if (options_.quiet ||
        now - last_line_ < (draws ? std::chrono::milliseconds(redraw_every) : std::chrono::milliseconds(log_every)))
        return;
    last_line_ = now;
    if (draws) line_.draw(batch::status_text(status));
    else
        std::fprintf(stderr, "%s\n",
                     (options_.json ? batch::status_json(status, "progress") : batch::status_text(status)).c_str());
}

void BatchReport::summary(const batch::Status& s, bool interrupted) {
    line_.clear();
    if (!options_.metrics_file.empty()) write_metrics(s, true);
    if (options_.quiet && s.left > 0 && !options_.json) std::fprintf(stderr, "t2i: %s\n", left_text(s.left).c_str());
    if (options_.quiet) return;
    if (options_.json) {
        std::fprintf(stderr, "%s\n", batch::status_json(s, interrupted ? "interrupted" : "end").c_str());
        return;
    }
    std::fprintf(stderr, "%s\n", summary_text(s).c_str());
}

// A broken metrics file is no reason to stop a run of days; it is said once.
void BatchReport::write_metrics(const batch::Status& status, bool finished) {
    const std::string text = batch::status_metrics(status, finished);
    try {
        write_file_atomically(options_.metrics_file, text, {.waits_for_reader = false});
    } catch (const Error& error) {
        if (!metrics_broken_) warning(error.what());
        metrics_broken_ = true;
    }
}

}  // namespace t2i::app
