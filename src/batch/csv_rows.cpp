#include "batch/csv_rows.h"

#include <cstdlib>

#include "t2i/error.h"

namespace t2i::batch {

namespace {

// libcsv grows one buffer to the longest cell; a quote that is never closed would take the whole file into it.
void* limited_realloc(void* memory, std::size_t bytes) {
    return bytes > line_limit_bytes ? nullptr : std::realloc(memory, bytes);
}

}  // namespace

CsvRows::CsvRows(std::unique_ptr<ByteSource> source, char delimiter) : lines_(std::move(source)), delimiter_(delimiter) {
    open_parser();
}

CsvRows::~CsvRows() {
    csv_free(&parser_);
}

void CsvRows::open_parser() {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0)
        throw Error(ErrorCode::resource, "out of memory while reading CSV");
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter_));
    csv_set_realloc_func(&parser_, limited_realloc);
    csv_set_blk_size(&parser_, 4096);
    row_ = {};
    row_bytes_ = 0;
    started_ = false;
}

void CsvRows::on_cell(void* text, std::size_t size, void* self) {
    auto& rows = *static_cast<CsvRows*>(self);
    rows.row_bytes_ += size + 1;
    if (rows.row_bytes_ <= line_limit_bytes) rows.row_.cells.emplace_back(static_cast<const char*>(text), size);
}

void CsvRows::on_row(int /*terminator*/, void* self) {
    auto& rows = *static_cast<CsvRows*>(self);
    if (rows.row_bytes_ > line_limit_bytes) rows.row_.problem = "row is over " + std::to_string(line_limit_bytes >> 20) + " MiB";
    rows.ready_.push_back(std::move(rows.row_));
    rows.row_ = {};
    rows.row_.line = rows.lines_.number();  // a carriage return alone ends a row, too
    rows.row_bytes_ = 0;
    rows.started_ = false;
}

// The row is given up; the next one begins on the next line.
void CsvRows::fail(const std::string& problem) {
    CsvRow row = std::move(row_);
    row.problem = problem;
    ready_.push_back(std::move(row));
    csv_free(&parser_);
    open_parser();
}

void CsvRows::feed() {
    if (!started_) row_.line = lines_.number();
    started_ = true;
    if (lines_.too_long()) return fail("line is over " + std::to_string(line_limit_bytes >> 20) + " MiB");
    if (csv_parse(&parser_, line_.data(), line_.size(), &on_cell, &on_row, this) == line_.size()) {
        // An empty line ends no row, and the next one begins it anew.
        if (row_.cells.empty() && line_.find_first_not_of(" \t\r\n") == std::string::npos && parser_.pstate == 0)
            started_ = false;
        return;
    }
    fail(csv_error(&parser_) == CSV_EPARSE
             ? "a quotation mark stands where none may: cells with one are quoted and it is doubled"
             : "a cell is over " + std::to_string(line_limit_bytes >> 20) + " MiB: is a quotation mark not closed?");
}

void CsvRows::finish() {
    finished_ = true;
    if (csv_fini(&parser_, &on_cell, &on_row, this) != 0) fail("a quotation mark is not closed");
}

bool CsvRows::next(CsvRow& row) {
    while (ready_.empty()) {
        if (lines_.next(line_)) feed();
        else if (!finished_) finish();
        else return false;
    }
    row = std::move(ready_.front());
    ready_.pop_front();
    return true;
}

}  // namespace t2i::batch
