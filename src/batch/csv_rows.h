// Rows of CSV and TSV as spreadsheets, pandas and R write them (RFC 4180 and its dialects), in bounded memory; a broken row does
// not stop the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batch/line_reader.h"

namespace t2i::batch {

struct CsvRow {
    std::int64_t line = 0;  // where it begins
    std::vector<std::string> cells;
    std::string problem;  // what is wrong with it, if anything
};

// A cell in quotation marks may hold anything, line ends too, and a doubled quotation mark stands for one. A quotation mark
// inside a cell that does not begin with one is a character like others. Blanks around a cell are no part of it, unless it is
// quoted.
class CsvRows {
  public:
    explicit CsvRows(std::unique_ptr<ByteSource> source) : lines_(std::move(source), LineEnds::any) {}

    // The next line as it stands, for whoever chooses the delimiter; next() reads it once more. False at the end.
    bool look_ahead(std::string_view& line);
    // Nobody reads the line that look_ahead() gave.
    void skip_line() { waiting_ = false; }
    // Of the rows that follow. With a tab, a cell that begins with a quotation mark and has no end that fits is taken as it
    // stands: collections of prompts quote nothing.
    void set_delimiter(char delimiter) { delimiter_ = delimiter; }

    // False at the end. Empty lines are skipped.
    bool next(CsvRow& row);
    [[nodiscard]] std::uint64_t bytes_read() const { return lines_.bytes_read(); }
    [[nodiscard]] std::uint64_t size_bytes() const { return lines_.size_bytes(); }

  private:
    bool next_line();
    // Reads the cells of line_ into the row; false: a quoted cell goes on in the next line.
    bool read_line(CsvRow& row);
    // The same of one cell from `at` on, which moves behind it; false as above.
    bool read_quoted(CsvRow& row, std::size_t& at);
    void read_plain(CsvRow& row, std::size_t& at);
    [[nodiscard]] bool has_clean_end(std::size_t quote) const;
    void add(CsvRow& row, std::string cell);

    LineReader lines_;
    char delimiter_ = ',';
    std::string line_, cell_;  // cell_: of a quoted cell that is still open
    std::size_t row_bytes_ = 0;
    bool waiting_ = false;  // line_ was looked at and not read
    bool open_ = false;     // inside a quoted cell
};

// A cell of a line that was split at its delimiters and nowhere else: without blanks and quotation marks around it.
[[nodiscard]] std::string_view plain_cell(std::string_view cell);

// The delimiter that Excel's first line "sep=;" names; nothing when it is another line.
[[nodiscard]] std::optional<char> separator_line(std::string_view line);

}  // namespace t2i::batch
