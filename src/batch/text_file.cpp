// Text: a prompt or a line of flags each, and what AUTOMATIC1111 and t2i write into their pictures, pasted whole.
#include <algorithm>
#include <deque>

#include "batch/flag_line.h"
#include "batch/line_reader.h"
#include "batch/prompt_readers.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "pipeline/parameters.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

constexpr std::string_view negative_mark = "Negative prompt: ";

// The last line of an infotext: "Steps: 20, Sampler: Euler a, …, Seed: 7, Size: 512x512, …".
bool is_settings(std::string_view line) {
    const bool begins = line.starts_with("Steps: ") || line.starts_with("Seed: ");
    return begins && line.find("Seed: ") != std::string_view::npos && line.find(", Size: ") != std::string_view::npos;
}

// A line that makes no sense as a prompt.
bool is_of_infotext(std::string_view line) {
    const bool is_cut = line.starts_with("Steps: ") && line.find(", Sampler: ") != std::string_view::npos;
    return is_cut || is_settings(line) || line.starts_with(negative_mark);
}

RequestLine parse_infotext(const std::string& text) {
    const Parameters parameters = read_parameters(text, {});
    if (!parameters.init_image.hash.empty())
        throw Error(ErrorCode::input, "is of a picture that began with another one, " + in_quotes(parameters.init_image.name) +
                                          "; a line with init_image names it");
    const GenerateRequest& r = parameters.request;
    RequestBuilder request;
    const auto set = [&](const char* field, const std::string& value) {
        if (!value.empty()) request.set(field, value, ValueKind::untyped);
    };
    request.set("prompt", r.prompt, ValueKind::text);
    set("negative_prompt", r.negative_prompt);
    if (r.steps) set("steps", std::to_string(*r.steps));
    if (r.cfg_scale) set("cfg_scale", number_text(*r.cfg_scale));
    set("sampler_name", r.sampler);
    set("scheduler", r.scheduler);
    set("seed", std::to_string(r.seed));
    if (r.width) set("width", std::to_string(*r.width));
    if (r.height) set("height", std::to_string(*r.height));
    if (r.clean_caption) set("clean_caption", "true");
    if (r.resolution_binning) set("resolution_binning", "true");
    return request.finish();
}

// Whether lines have to be held back for what may follow them decides the source: in a file, every line is read together with
// those up to the next blank one; of a live source only when an infotext stands in what came first, so that a line is drawn as it
// comes.
class TextFile : public PromptFile {
  public:
    TextFile(std::unique_ptr<StartedSource> source, ReaderOptions options)
        : options_(std::move(options)),
          holds_back_(!source->is_live() || source->start().find("\nSteps: ") != std::string_view::npos),
          lines_(std::move(source), LineEnds::any) {}

    bool next(PromptEntry& entry) override {
        while (ready_.empty())
            if (!read_line()) return false;
        entry = std::move(ready_.front().entry);
        read_ = ready_.front().end;
        ready_.pop_front();
        return true;
    }
    [[nodiscard]] std::uint64_t bytes_read() const override { return read_; }
    [[nodiscard]] std::uint64_t size_bytes() const override { return lines_.size_bytes(); }
    [[nodiscard]] std::vector<std::string> notes() const override { return notes_.lines(); }

  private:
    struct Line {
        std::int64_t number;
        std::uint64_t end;  // bytes of the file up to here
        std::string text;
    };
    struct Ready {
        PromptEntry entry;
        std::uint64_t end;
    };

    // False at the end of the file.
    bool read_line() {
        if (!lines_.next(line_)) {
            release();
            if (ready_.empty()) read_ = lines_.bytes_read();
            return !ready_.empty();
        }
        std::string_view text = without_line_end(line_);
        try {
            if (lines_.too_long()) throw Error(ErrorCode::input, too_long_problem());
            check_line(text, options_, notes_);
        } catch (const Error& error) {
            release();
            PromptEntry entry{.line = lines_.number(), .request = {}, .problem = {}, .text = {}};
            set_problem(entry, error, text);
            ready_.push_back({std::move(entry), lines_.bytes_read()});
            return true;
        }
        text = strip_right(strip_left(text));
        if (text.empty()) release();
        else if (text.front() != '#') take(text);
        return true;
    }
    void take(std::string_view text) {
        if (is_settings(text) && holds_back_) return take_infotext(text);
        waiting_.push_back({lines_.number(), lines_.bytes_read(), std::string(text)});
        waiting_bytes_ += text.size() + 1;
        if (!holds_back_ || waiting_bytes_ > prompt_limit_bytes) release();
    }
    // The lines before it are its prompts.
    void take_infotext(std::string_view settings) {
        std::string text;
        for (const Line& line : waiting_) text += line.text + "\n";
        PromptEntry entry{
            .line = waiting_.empty() ? lines_.number() : waiting_.front().number, .request = {}, .problem = {}, .text = {}};
        try {
            entry.request = parse_infotext(text + std::string(settings));
            ++notes_.infotexts;
        } catch (const Error& error) {
            set_problem(entry, error, text + std::string(settings));
        }
        waiting_.clear();
        waiting_bytes_ = 0;
        ready_.push_back({std::move(entry), lines_.bytes_read()});
    }
    // No infotext: each line that waits is one of its own, but for those of one that is not whole.
    void release() {
        const auto cut =
            std::find_if(waiting_.rbegin(), waiting_.rend(), [](const Line& line) { return is_of_infotext(line.text); });
        const std::int64_t of_infotext = cut == waiting_.rend() ? 0 : cut->number;
        for (const Line& line : waiting_) {
            PromptEntry entry{.line = line.number, .request = {}, .problem = {}, .text = {}};
            try {
                if (line.number <= of_infotext)
                    throw Error(ErrorCode::input,
                                "is part of an infotext that is not whole, up to Seed and Size, before a blank line");
                entry.request = parse_text_line(line.text, &notes_.passed_over);
            } catch (const Error& error) {
                set_problem(entry, error, line.text);
            }
            ready_.push_back({std::move(entry), line.end});
        }
        waiting_.clear();
        waiting_bytes_ = 0;
    }
    ReaderOptions options_;
    bool holds_back_;
    LineReader lines_;
    std::string line_;
    std::vector<Line> waiting_;  // since the last blank line
    std::size_t waiting_bytes_ = 0;
    std::deque<Ready> ready_;
    std::uint64_t read_ = 0;
    ReaderNotes notes_;
};

}  // namespace

std::unique_ptr<PromptFile> read_text(std::unique_ptr<StartedSource> source, ReaderOptions options) {
    return std::make_unique<TextFile>(std::move(source), std::move(options));
}

}  // namespace t2i::batch
