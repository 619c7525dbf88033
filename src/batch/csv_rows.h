// Rows of CSV (RFC 4180) through libcsv, in bounded memory; a broken row does not stop the rest.
#pragma once

#include <csv.h>

#include <deque>
#include <string>
#include <vector>

#include "batch/line_reader.h"

namespace t2i::batch {

struct CsvRow {
    std::int64_t line = 0;  // where it begins
    std::vector<std::string> cells;
    std::string problem;  // what is wrong with it, if anything
};

class CsvRows {
  public:
    CsvRows(std::unique_ptr<ByteSource> source, char delimiter);
    ~CsvRows();
    CsvRows(const CsvRows&) = delete;
    CsvRows& operator=(const CsvRows&) = delete;

    // False at the end. Empty lines are skipped.
    bool next(CsvRow& row);
    [[nodiscard]] std::uint64_t bytes_read() const { return lines_.bytes_read(); }
    [[nodiscard]] std::uint64_t size_bytes() const { return lines_.size_bytes(); }

  private:
    static void on_cell(void* text, std::size_t size, void* self);
    static void on_row(int terminator, void* self);
    void open_parser();
    void fail(const std::string& problem);
    void feed();
    void finish();

    LineReader lines_;
    char delimiter_;
    csv_parser parser_{};
    std::string line_;
    CsvRow row_;  // being read
    std::size_t row_bytes_ = 0;
    bool started_ = false, finished_ = false;
    std::deque<CsvRow> ready_;
};

}  // namespace t2i::batch
