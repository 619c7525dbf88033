#include "batch/prompt_file.h"

#include <algorithm>
#include <set>
#include <vector>

#include "batch/csv_rows.h"
#include "batch/line_reader.h"
#include "batch/request_fields.h"
#include "checkpoint/json_events.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";

void reject_utf16(std::string_view start, const std::string& name) {
    if (start.starts_with("\xFF\xFE") || start.starts_with("\xFE\xFF"))
        throw Error(ErrorCode::input, "is UTF-16; save it as UTF-8", name);
}

std::string too_long_problem() {
    return "line is over " + std::to_string(line_limit_bytes >> 20) + " MiB";
}

// Sets `line`'s fields one at a time and notices what is given twice.
class FieldSetter {
  public:
    explicit FieldSetter(RequestLine& line) : line_(line) {}
    void set(std::string_view name, std::string_view value, ValueKind kind) {
        const std::string field = field_name(name);
        if (!seen_.insert(field).second) throw Error(ErrorCode::input, field + " is given twice");
        set_field(line_, field, value, kind);
    }
    void finish() const {
        if (!seen_.contains("prompt")) throw Error(ErrorCode::input, "has no prompt");
    }

  private:
    RequestLine& line_;
    std::set<std::string> seen_;
};

struct Word {
    std::string text;
    bool is_flag;  // two dashes and a name, not quoted
};

bool begins_flag(std::string_view word) {
    return word.size() > 2 && word.starts_with("--") && ((word[2] | 32) >= 'a' && (word[2] | 32) <= 'z');
}

// Words as Python's shlex.split (POSIX mode) finds them, which AUTOMATIC1111 reads flag lines with.
std::vector<Word> split_words(std::string_view line) {
    constexpr std::string_view spaces = " \t\r\n";
    std::vector<Word> words;
    for (std::size_t i = 0; i < line.size();) {
        if (spaces.find(line[i]) != std::string_view::npos) {
            ++i;
            continue;
        }
        Word word{{}, begins_flag(line.substr(i))};
        char quote = 0;
        for (; i < line.size() && (quote || spaces.find(line[i]) == std::string_view::npos); ++i) {
            const char c = line[i];
            if (quote == 0 && (c == '"' || c == '\'')) quote = c;
            else if (c == quote) quote = 0;
            else if (c != '\\' || quote == '\'') word.text += c;
            else if (++i == line.size()) throw Error(ErrorCode::input, "ends in a backslash");
            else if (quote == '"' && line[i] != '"' && line[i] != '\\') word.text += {'\\', line[i]};
            else word.text += line[i];
        }
        if (quote) throw Error(ErrorCode::input, std::string("a quotation mark (") + quote + ") is not closed");
        words.push_back(std::move(word));
    }
    return words;
}

bool has_flags(std::string_view line) {
    for (std::size_t at = 0; (at = line.find("--", at)) != std::string_view::npos; ++at)
        if ((at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') && begins_flag(line.substr(at))) return true;
    return false;
}

// A flat object of texts and numbers; null leaves a field unset.
class RequestEvents : public JsonEvents {
  public:
    explicit RequestEvents(FieldSetter& fields) : JsonEvents({}, "request"), fields_(fields) {}
    bool start_object(std::size_t) override {
        if (inside_) unexpected("an object");
        return inside_ = true;
    }
    bool key(std::string& name) override {
        key_ = name;
        return true;
    }
    bool null() override { return inside_ || value("null", ValueKind::number); }
    bool string(std::string& text) override { return value(text, ValueKind::text); }
    bool number_integer(std::int64_t n) override { return value(std::to_string(n), ValueKind::number); }
    bool number_unsigned(std::uint64_t n) override { return value(std::to_string(n), ValueKind::number); }
    bool number_float(double, const std::string& text) override { return value(text, ValueKind::number); }

  protected:
    std::string place() const override { return inside_ ? "at " + excerpt(key_, 40) : "in place of an object"; }

  private:
    bool value(std::string_view text, ValueKind kind) {
        if (!inside_) unexpected("a value");
        fields_.set(key_, text, kind);
        return true;
    }
    FieldSetter& fields_;
    std::string key_;
    bool inside_ = false;
};

std::string_view without_line_end(std::string_view line) {
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

// A line a request: text and JSON.
class LineFile : public PromptFile {
  public:
    LineFile(std::unique_ptr<ByteSource> source, bool json, std::string name)
        : lines_(std::move(source)), json_(json), name_(std::move(name)) {}

    bool next(PromptEntry& entry) override {
        while (lines_.next(line_)) {
            std::string_view text = without_line_end(line_);
            if (lines_.number() == 1) {
                reject_utf16(text, name_);
                if (text.starts_with(utf8_mark)) text.remove_prefix(utf8_mark.size());
            }
            entry = {.line = lines_.number(), .request = {}, .problem = {}, .text = {}};
            try {
                if (lines_.too_long()) throw Error(ErrorCode::input, too_long_problem());
                check_utf8(text, "line");
                text = strip_right(strip_left(text));
                if (text.empty() || (!json_ && text.front() == '#')) continue;
                entry.request = json_ ? parse_json_line(text) : parse_text_line(text);
            } catch (const Error& error) {
                entry.problem = error.what();
                entry.text = excerpt(text);
            }
            return true;
        }
        return false;
    }
    std::uint64_t bytes_read() const override { return lines_.bytes_read(); }
    std::uint64_t size_bytes() const override { return lines_.size_bytes(); }

  private:
    LineReader lines_;
    bool json_;
    std::string name_, line_;
};

// A header of field names, then a row a request.
class TableFile : public PromptFile {
  public:
    TableFile(std::unique_ptr<ByteSource> source, char delimiter, std::string name)
        : rows_(std::move(source), delimiter), name_(std::move(name)) {}

    bool next(PromptEntry& entry) override {
        if (columns_.empty() && !read_header()) return false;
        while (rows_.next(row_)) {
            if (row_.problem.empty() && std::ranges::all_of(row_.cells, &std::string::empty)) continue;
            entry = {.line = row_.line, .request = {}, .problem = {}, .text = {}};
            try {
                if (!row_.problem.empty()) throw Error(ErrorCode::input, row_.problem);
                entry.request = request_of(row_.cells);
            } catch (const Error& error) {
                entry.problem = error.what();
                entry.text = row_.cells.empty() ? std::string() : excerpt(row_.cells.front());
            }
            return true;
        }
        return false;
    }
    std::uint64_t bytes_read() const override { return rows_.bytes_read(); }
    std::uint64_t size_bytes() const override { return rows_.size_bytes(); }

  private:
    bool read_header() {
        if (!rows_.next(row_)) return false;
        const std::string where = name_ + ", line " + std::to_string(row_.line);
        if (!row_.problem.empty()) throw Error(ErrorCode::input, row_.problem, where);
        reject_utf16(row_.cells.front(), name_);
        if (row_.cells.front().starts_with(utf8_mark)) row_.cells.front().erase(0, utf8_mark.size());
        for (const auto& cell : row_.cells) {
            try {
                columns_.push_back(field_name(strip_right(strip_left(checked(cell)))));
            } catch (const Error& error) {
                throw Error(ErrorCode::input, std::string("header: ") + error.what(), where);
            }
            if (std::ranges::count(columns_, columns_.back()) > 1)
                throw Error(ErrorCode::input, "header: " + columns_.back() + " stands there twice", where);
        }
        if (std::ranges::find(columns_, "prompt") == columns_.end())
            throw Error(ErrorCode::input, "the header names no prompt column", where);
        return true;
    }
    static const std::string& checked(const std::string& cell) {
        check_utf8(cell, "name");
        return cell;
    }
    RequestLine request_of(const std::vector<std::string>& cells) const {
        if (cells.size() > columns_.size())
            throw Error(ErrorCode::input,
                        "has " + std::to_string(cells.size()) + " cells; the header names " + std::to_string(columns_.size()));
        RequestLine line;
        FieldSetter fields(line);
        for (std::size_t i = 0; i < cells.size(); ++i)
            if (!cells[i].empty()) fields.set(columns_[i], cells[i], ValueKind::untyped);  // an empty cell leaves its field unset
        fields.finish();
        return line;
    }

    CsvRows rows_;
    CsvRow row_;
    std::string name_;
    std::vector<std::string> columns_;
};

}  // namespace

std::string excerpt(std::string_view line, std::size_t most) {
    std::string text;
    for (const char c : line.substr(0, most)) text += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
    // Not UTF-8, or cut inside a character: bytes above ASCII are shown as '?'.
    while (true) {
        try {
            check_utf8(text, "");
            break;
        } catch (const Error&) {
            if (line.size() > most && text.size() + 3 > most && !text.empty() && static_cast<unsigned char>(text.back()) >= 128) {
                text.pop_back();
                continue;
            }
            for (char& c : text)
                if (static_cast<unsigned char>(c) >= 128) c = '?';
        }
    }
    return line.size() > most ? text + "…" : text;
}

RequestLine parse_text_line(std::string_view text) {
    RequestLine line;
    FieldSetter fields(line);
    if (!has_flags(text)) {
        fields.set("prompt", text, ValueKind::text);
        return line;
    }
    const auto words = split_words(text);
    for (std::size_t i = 0; i < words.size();) {
        if (!words[i].is_flag)
            throw Error(ErrorCode::input, "a word without a flag before it: \"" + excerpt(words[i].text, 40) + "\"");
        const std::string flag = words[i++].text.substr(2);
        const auto equals = flag.find('=');
        const std::string field = field_name(flag.substr(0, equals));
        std::string value;
        if (equals != std::string::npos) {
            value = flag.substr(equals + 1);
        } else {
            if (i == words.size()) throw Error(ErrorCode::input, "--" + flag + " has no value");
            value = words[i++].text;
        }
        // AUTOMATIC1111 lets a prompt stand without quotation marks.
        while ((field == "prompt" || field == "negative_prompt") && i < words.size() && !words[i].is_flag)
            value += " " + words[i++].text;
        fields.set(field, value, ValueKind::untyped);
    }
    fields.finish();
    return line;
}

RequestLine parse_json_line(std::string_view text) {
    RequestLine line;
    FieldSetter fields(line);
    RequestEvents events(fields);
    parse_json_events(text, events);
    fields.finish();
    return line;
}

std::unique_ptr<PromptFile> read_prompts(std::unique_ptr<ByteSource> source, PromptFormat format, const std::string& name) {
    switch (format) {
        case PromptFormat::csv:
            return std::make_unique<TableFile>(std::move(source), ',', name);
        case PromptFormat::tsv:
            return std::make_unique<TableFile>(std::move(source), '\t', name);
        default:
            return std::make_unique<LineFile>(std::move(source), format == PromptFormat::json_lines, name);
    }
}

PromptFormat format_of(std::string_view path) {
    if (path.ends_with(".jsonl") || path.ends_with(".ndjson")) return PromptFormat::json_lines;
    if (path.ends_with(".csv")) return PromptFormat::csv;
    return path.ends_with(".tsv") ? PromptFormat::tsv : PromptFormat::text;
}

PromptFormat format_named(const std::string& name) {
    if (name == "txt") return PromptFormat::text;
    if (name == "jsonl") return PromptFormat::json_lines;
    if (name == "csv") return PromptFormat::csv;
    if (name == "tsv") return PromptFormat::tsv;
    throw Error(ErrorCode::invalid_argument, "unknown format \"" + name + "\" (txt, jsonl, csv, tsv)", Field{"format"});
}

}  // namespace t2i::batch
