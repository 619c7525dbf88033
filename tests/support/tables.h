// The same requests as the bytes that spreadsheets, pandas, R and AUTOMATIC1111 users write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace t2i::test {

struct TableRow {
    std::string prompt, negative;       // the latter may be empty
    std::optional<std::uint64_t> seed;  // missing in some rows
    std::optional<double> cfg_scale;
    std::string category;  // a column of somebody's own
};

// n different rows: commas, quotation marks, line breaks, apostrophes, Chinese; missing seeds; seeds that R writes as 1e+05.
[[nodiscard]] std::vector<TableRow> table_rows(int n);

// Excel's "CSV UTF-8": a byte-order mark, "\r\n", quotation marks where they must be, two columns formatted and left empty.
[[nodiscard]] std::string excel_csv(const std::vector<TableRow>& rows);
// The same where the comma is the decimal point, with Excel's own first line.
[[nodiscard]] std::string excel_semicolon_csv(const std::vector<TableRow>& rows);
// Excel's "Unicode text": UTF-16LE with a mark, tabs.
[[nodiscard]] std::string excel_unicode_text(const std::vector<TableRow>& rows);
// DataFrame.to_csv(): an index without a name; integers with gaps are floats ("42.0").
[[nodiscard]] std::string pandas_csv(const std::vector<TableRow>& rows);
// write.csv() and write.csv2(): row names, every text quoted, NA, numbers of 15 digits ("1e+05").
[[nodiscard]] std::string r_csv(const std::vector<TableRow>& rows);
[[nodiscard]] std::string r_csv2(const std::vector<TableRow>& rows);
// AUTOMATIC1111's "Prompts from file". A prompt over several lines has none there: they become blanks.
[[nodiscard]] std::string flag_lines(const std::vector<TableRow>& rows);

}  // namespace t2i::test
