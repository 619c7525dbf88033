#include "batch/csv_rows.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"

namespace t2i::batch {

namespace {

constexpr std::string_view line_ends = "\r\n";

bool is_blank(char c, char delimiter) {
    return (c == ' ' || c == '\t') && c != delimiter;
}

// Of the text without the line's end.
std::size_t end_of(std::string_view line) {
    std::size_t end = line.size();
    while (end > 0 && line_ends.find(line[end - 1]) != std::string_view::npos) --end;
    return end;
}

std::string size_problem(const char* what) {
    return std::string(what) + " is over " + std::to_string(line_limit_bytes >> 20) + " MiB";
}

}  // namespace

bool CsvRows::next_line() {
    if (waiting_) {
        waiting_ = false;
        return true;
    }
    return lines_.next(line_);
}

bool CsvRows::look_ahead(std::string_view& line) {
    waiting_ = waiting_ || lines_.next(line_);
    line = std::string_view(line_).substr(0, end_of(line_));
    return waiting_;
}

void CsvRows::add(CsvRow& row, std::string cell) {
    row_bytes_ += cell.size() + 1;
    if (row_bytes_ > line_limit_bytes) row.problem = size_problem("row");
    else row.cells.push_back(std::move(cell));
}

// Whether a quotation mark that opens a cell finds its other half, and the cell's end after it, or no other half in this line.
bool CsvRows::has_clean_end(std::size_t quote) const {
    for (std::size_t i = quote + 1; i < line_.size(); ++i) {
        if (line_[i] != '"') continue;
        if (++i < line_.size() && line_[i] == '"') continue;
        while (i < line_.size() && is_blank(line_[i], delimiter_)) ++i;
        return i >= end_of(line_) || line_[i] == delimiter_;
    }
    return true;
}

// What stands in quotation marks, from behind the opening one on.
bool CsvRows::read_quoted(CsvRow& row, std::size_t& at) {
    const std::size_t end = end_of(line_);
    while (true) {
        const auto quote = line_.find('"', at);
        cell_.append(line_, at, quote == std::string::npos ? quote : quote - at);
        if (quote == std::string::npos) return false;
        at = quote + 1;
        if (at < line_.size() && line_[at] == '"') {
            cell_ += line_[at++];
            continue;
        }
        while (at < end && is_blank(line_[at], delimiter_)) ++at;
        if (at < end && line_[at] != delimiter_) {
            row.problem =
                "a quotation mark stands where none may: a cell that begins with one is quoted, and those in it are doubled";
            at = end;
        }
        add(row, std::exchange(cell_, {}));
        return true;
    }
}

void CsvRows::read_plain(CsvRow& row, std::size_t& at) {
    const std::size_t end = std::min(line_.find(delimiter_, at), end_of(line_));
    std::size_t last = end;
    while (last > at && is_blank(line_[last - 1], delimiter_)) --last;
    add(row, line_.substr(at, last - at));
    at = end;
}

bool CsvRows::read_line(CsvRow& row) {
    const std::size_t end = end_of(line_);
    std::size_t at = 0;
    while (true) {
        if (!open_) {
            while (at < end && is_blank(line_[at], delimiter_)) ++at;
            const bool is_quoted = at < end && line_[at] == '"' && (delimiter_ != '\t' || has_clean_end(at));
            if (is_quoted) ++at;
            open_ = is_quoted;
            if (!is_quoted) read_plain(row, at);
        }
        if (open_ && !read_quoted(row, at)) return false;
        open_ = false;
        if (at >= end || !row.problem.empty()) return true;
        ++at;  // the delimiter
    }
}

bool CsvRows::next(CsvRow& row) {
    row = {};
    row_bytes_ = 0;
    while (next_line()) {
        if (!open_ && line_.find_first_not_of(" \t\r\n") == std::string::npos) continue;
        if (row.line == 0) row.line = lines_.number();
        if (lines_.too_long()) row.problem = too_long_problem();
        if (row.problem.empty() && !read_line(row)) {
            if (cell_.size() + row_bytes_ <= line_limit_bytes) continue;
            row.problem = size_problem("a cell") + ": is a quotation mark not closed?";
        }
        open_ = false;
        cell_.clear();
        return true;
    }
    if (!open_) return false;
    open_ = false;
    cell_.clear();
    row.problem = "a quotation mark is not closed";
    return true;
}

std::string_view plain_cell(std::string_view cell) {
    cell = strip_left(strip_right(cell));
    if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') cell = cell.substr(1, cell.size() - 2);
    return cell;
}

std::optional<char> separator_line(std::string_view line) {
    const std::string_view word = plain_cell(line);
    const bool is_told = word.size() == 5 && (word.front() == 's' || word.front() == 'S') && word.substr(1, 3) == "ep=";
    return is_told ? std::optional(word.back()) : std::nullopt;
}

}  // namespace t2i::batch
