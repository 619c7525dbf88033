// Requests in JSON: a line each, or as elements of an array, or one after the other.
#include <deque>

#include "batch/line_reader.h"
#include "batch/prompt_readers.h"
#include "checkpoint/json_events.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

// A value of any kind, written down again from its events; nesting is limited, so that whoever reads it again may recurse.
class JsonEcho {
  public:
    void value(const std::string& json) {
        before_value();
        text_ += json;
    }
    void open(char bracket) {
        constexpr std::size_t deepest = 32;
        before_value();
        text_ += bracket;
        closing_ += bracket == '{' ? '}' : ']';
        if (closing_.size() > deepest) throw Error(ErrorCode::input, "is nested too deeply");
        has_some_ = false;
    }
    void key(const std::string& json) {
        if (has_some_) text_ += ',';
        text_ += json + ":";
        has_some_ = false;
    }
    void close() {
        text_ += closing_.back();
        closing_.pop_back();
        has_some_ = true;
    }
    [[nodiscard]] bool is_open() const { return !closing_.empty(); }
    [[nodiscard]] std::string take() {
        has_some_ = false;
        return std::exchange(text_, {});
    }

  private:
    void before_value() {
        if (has_some_) text_ += ',';
        has_some_ = true;
    }
    std::string text_, closing_;
    bool has_some_ = false;  // a value that a comma follows
};

std::string json_text(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// One object: texts and numbers under the names of fields, null leaves a field unset; anything under other names.
class RequestEvents : public JsonEvents {
  public:
    RequestEvents(RequestBuilder& request, const ReaderOptions& options)
        : JsonEvents({}, "request"), request_(request), options_(options) {}

    bool start_object(std::size_t) override { return open('{', "an object"); }
    bool start_array(std::size_t) override { return open('[', "an array"); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(std::string& name) override {
        if (echo_.is_open()) {
            echo_.key(json_text(name));
            return true;
        }
        key_ = name;
        field_ = options_.field_of(name);
        if (field_.empty() && field_name(name).empty()) refuse_misspelt(name);
        return true;
    }
    bool null() override {
        if (inside_ && !field_.empty() && !echo_.is_open()) return true;
        return value("null", "null", ValueKind::number);
    }
    bool boolean(bool is) override {
        if (inside_ && !field_.empty() && !is_flag(field_) && !echo_.is_open()) unexpected("a boolean");
        return value(is ? "true" : "false", is ? "true" : "false", ValueKind::text);
    }
    bool string(std::string& text) override { return value(text, json_text(text), ValueKind::text); }
    bool number_integer(std::int64_t n) override { return number(std::to_string(n)); }
    bool number_unsigned(std::uint64_t n) override { return number(std::to_string(n)); }
    bool number_float(double, const std::string& text) override { return number(text); }

  protected:
    std::string place() const override { return inside_ ? "at " + excerpt(key_, 40) : "in place of an object"; }

  private:
    bool number(const std::string& text) { return value(text, text, ValueKind::number); }
    bool value(std::string_view text, const std::string& json, ValueKind kind) {
        if (!inside_) unexpected("a value");
        if (echo_.is_open()) echo_.value(json);
        else if (field_.empty()) request_.keep(key_, json);
        else request_.set(field_, text, kind);
        return true;
    }
    bool open(char bracket, const char* what) {
        if (!inside_) {
            if (bracket != '{') unexpected(what);
            return inside_ = true;
        }
        if (!echo_.is_open() && !field_.empty()) unexpected(what);
        echo_.open(bracket);
        return true;
    }
    bool close() {
        if (!echo_.is_open()) return true;
        echo_.close();
        if (!echo_.is_open()) request_.keep(key_, echo_.take());
        return true;
    }

    RequestBuilder& request_;
    const ReaderOptions& options_;
    std::string key_, field_;  // field_: of key_; empty where it names none
    JsonEcho echo_;
    bool inside_ = false;
};

class JsonLinesFile : public PromptFile {
  public:
    JsonLinesFile(std::unique_ptr<ByteSource> source, ReaderOptions options)
        : options_(std::move(options)), lines_(std::move(source), LineEnds::any) {}

    bool next(PromptEntry& entry) override {
        while (lines_.next(line_)) {
            std::string_view text = without_line_end(line_);
            entry = {.line = lines_.number(), .request = {}, .problem = {}, .text = {}};
            try {
                if (lines_.too_long()) throw Error(ErrorCode::input, too_long_problem());
                check_line(text, options_, notes_);
                text = strip_right(strip_left(text));
                if (text.empty()) continue;
                entry.request = parse_json_request(text, options_);
            } catch (const Error& error) {
                set_problem(entry, error, text);
            }
            return true;
        }
        return false;
    }
    [[nodiscard]] std::uint64_t bytes_read() const override { return lines_.bytes_read(); }
    [[nodiscard]] std::uint64_t size_bytes() const override { return lines_.size_bytes(); }
    [[nodiscard]] std::vector<std::string> notes() const override { return notes_.lines(); }

  private:
    ReaderOptions options_;
    LineReader lines_;
    std::string line_;
    ReaderNotes notes_;
};

// Elements are found by their brackets alone and parsed one at a time, so that an array of any length takes no more memory than
// its longest element, and a broken one is one bad line. Commas are not missed.
class JsonFile : public PromptFile {
  public:
    JsonFile(std::unique_ptr<ByteSource> source, ReaderOptions options)
        : options_(std::move(options)), source_(std::move(source)) {}

    bool next(PromptEntry& entry) override {
        for (int c = peek(); c != end; c = peek()) {
            if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
                take();
            } else if (c == '[' && !in_array_) {
                take();
                in_array_ = true;
            } else if (c == ']' && in_array_) {
                take();
                in_array_ = false;
            } else {
                read_element(entry, c);
                return true;
            }
        }
        if (!in_array_) return false;
        in_array_ = false;
        entry = {.line = line_, .request = {}, .problem = "the array has no end: is the file cut short?", .text = {}};
        return true;
    }
    [[nodiscard]] std::uint64_t bytes_read() const override { return bytes_read_; }
    [[nodiscard]] std::uint64_t size_bytes() const override { return source_->size_bytes(); }
    [[nodiscard]] std::vector<std::string> notes() const override { return notes_.lines(); }

  private:
    static constexpr int end = -1;

    int peek() {
        if (at_ == block_.size()) {
            constexpr std::size_t block_bytes = std::size_t{64} << 10;
            block_.resize(block_bytes);
            block_.resize(ended_ ? 0 : source_->read(block_));
            at_ = 0;
            ended_ = block_.empty();
            if (ended_) return end;
        }
        return static_cast<unsigned char>(block_[at_]);
    }
    char take() {
        const char c = block_[at_++];
        ++bytes_read_;
        // "\r\n" is one line end.
        if (c == '\r' || (c == '\n' && last_ != '\r')) ++line_;
        return last_ = c;
    }

    // An object, an array or a text up to its end; anything else up to what may follow it.
    std::string element(int first, bool& whole) {
        std::string text;
        std::size_t depth = 0;
        bool in_string = false;
        whole = false;
        for (int c = first; c != end && !whole; c = peek()) {
            if (depth == 0 && !in_string && !text.empty() && (c == ',' || c == ']' || c == '{' || c == '\n' || c == '\r')) {
                whole = true;
                break;
            }
            const char taken = take();
            if (text.size() <= line_limit_bytes) text += taken;
            if (in_string) {
                if (taken == '\\' && peek() != end) {
                    if (const char escaped = take(); text.size() <= line_limit_bytes) text += escaped;
                } else if (taken == '"') {
                    in_string = false;
                    whole = depth == 0;
                }
            } else if (taken == '"') {
                in_string = true;
            } else if (taken == '{' || taken == '[') {
                ++depth;
            } else if (taken == '}' || taken == ']') {
                whole = depth <= 1;
                depth -= depth > 0 ? 1 : 0;
            }
        }
        return text;
    }

    void read_element(PromptEntry& entry, int first) {
        entry = {.line = line_, .request = {}, .problem = {}, .text = {}};
        bool whole = false;
        const std::string text = element(first, whole);
        try {
            if (text.size() > line_limit_bytes)
                throw Error(ErrorCode::input, "an element is over " + std::to_string(line_limit_bytes >> 20) + " MiB");
            check_line(text, options_, notes_);
            if (!whole && (first == '{' || first == '"')) throw Error(ErrorCode::input, "has no end: is the file cut short?");
            if (first == '"') entry.request = text_request(text);
            else entry.request = parse_json_request(text, options_);
        } catch (const Error& error) {
            set_problem(entry, error, text);
        }
    }
    static RequestLine text_request(const std::string& json) {
        const auto text = nlohmann::json::parse(json, nullptr, false);
        if (!text.is_string()) throw Error(ErrorCode::input, "is not valid JSON");
        RequestBuilder request;
        request.set("prompt", text.get<std::string>(), ValueKind::text);
        return request.finish();
    }

    ReaderOptions options_;
    std::unique_ptr<ByteSource> source_;
    std::string block_;
    std::size_t at_ = 0;  // first byte of block_ that is not taken
    std::uint64_t bytes_read_ = 0;
    std::int64_t line_ = 1;
    char last_ = 0;
    bool in_array_ = false, ended_ = false;
    ReaderNotes notes_;
};

}  // namespace

RequestLine parse_json_request(std::string_view text, const ReaderOptions& options) {
    RequestBuilder request;
    RequestEvents events(request, options);
    parse_json_events(text, events);
    return request.finish();
}

std::unique_ptr<PromptFile> read_json_lines(std::unique_ptr<ByteSource> source, ReaderOptions options) {
    return std::make_unique<JsonLinesFile>(std::move(source), std::move(options));
}

std::unique_ptr<PromptFile> read_json(std::unique_ptr<ByteSource> source, ReaderOptions options) {
    return std::make_unique<JsonFile>(std::move(source), std::move(options));
}

}  // namespace t2i::batch
