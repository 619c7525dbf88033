// Tables with a header, as spreadsheets, pandas and R write them.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "batch/csv_rows.h"
#include "batch/prompt_readers.h"
#include "core/nearest.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

struct Column {
    std::string field;  // canonical; empty: not a request's
    std::string name;   // of a column of somebody's own; empty: nobody keeps it
};

class TableFile : public PromptFile {
  public:
    TableFile(std::unique_ptr<ByteSource> source, bool is_tsv, ReaderOptions options)
        : options_(std::move(options)), rows_(std::move(source)), is_tsv_(is_tsv) {}

    bool next(PromptEntry& entry) override {
        if (columns_.empty() && !read_header()) return false;
        while (rows_.next(row_)) {
            if (row_.problem.empty() && std::ranges::all_of(row_.cells, &std::string::empty)) continue;
            entry = {.line = row_.line, .request = {}, .problem = {}, .text = {}};
            try {
                if (!row_.problem.empty()) throw Error(ErrorCode::input, row_.problem);
                entry.request = request_of(row_.cells);
            } catch (const Error& error) {
                set_problem(entry, error, row_.cells.empty() ? std::string_view() : row_.cells.front());
            }
            return true;
        }
        return false;
    }
    [[nodiscard]] std::uint64_t bytes_read() const override { return rows_.bytes_read(); }
    [[nodiscard]] std::uint64_t size_bytes() const override { return rows_.size_bytes(); }
    [[nodiscard]] std::vector<std::string> notes() const override { return notes_.lines(); }

  private:
    [[nodiscard]] bool has_prompt(std::string_view header, char delimiter) const {
        for (std::size_t at = 0; at <= header.size();) {
            const auto cell_end = std::min(header.find(delimiter, at), header.size());
            if (options_.field_of(plain_cell(header.substr(at, cell_end - at))) == "prompt") return true;
            at = cell_end + 1;
        }
        return false;
    }
    // Excel's first line "sep=;", else the one under which the header names the prompt.
    void choose_delimiter() {
        std::string_view line;
        if (!rows_.look_ahead(line)) return;
        if (const auto told = separator_line(line)) {
            delimiter_ = *told;
            rows_.skip_line();
        } else {
            constexpr std::array csv{',', ';', '\t', '|'}, tsv{'\t', ',', ';', '|'};
            const auto& tried = is_tsv_ ? tsv : csv;
            const auto found = std::ranges::find_if(tried, [&](char delimiter) { return has_prompt(line, delimiter); });
            delimiter_ = found == tried.end() ? tried.front() : *found;
        }
        rows_.set_delimiter(delimiter_);
    }

    bool read_header() {
        choose_delimiter();
        if (!rows_.next(row_)) return false;
        const std::string where = options_.name + ", line " + std::to_string(row_.line);
        if (!row_.problem.empty()) throw Error(ErrorCode::input, row_.problem, where);
        std::vector<Column> columns;
        for (const auto& cell : row_.cells) {
            try {
                check_line(cell, options_, notes_);
                columns.push_back(column(strip_right(strip_left(cell)), columns));
            } catch (const Error& error) {
                throw Error(ErrorCode::input, std::string("header: ") + error.what(), where);
            }
        }
        if (std::ranges::find(columns, "prompt", &Column::field) == columns.end()) {
            std::string list;
            for (const auto& cell : row_.cells) list += (list.empty() ? "" : ", ") + cell;
            throw Error(ErrorCode::input, where + ": the header names no prompt column: " + in_quotes(list),
                        Field{"prompt_column"});
        }
        columns_ = std::move(columns);
        return true;
    }
    [[nodiscard]] Column column(std::string_view name, const std::vector<Column>& before) const {
        const auto is_there = [&](auto part, const std::string& text) {
            return std::ranges::find(before, text, part) != before.end();
        };
        // Row numbers of pandas and R, commas at the end of every line.
        if (name.empty()) return {.field = {}, .name = before.empty() ? "" : "column " + std::to_string(before.size() + 1)};
        if (const std::string field = options_.field_of(name); !field.empty()) {
            if (is_there(&Column::field, field)) throw Error(ErrorCode::input, field + " stands there twice");
            return {.field = field, .name = {}};
        }
        if (field_name(name).empty()) refuse_misspelt(name);
        std::string own(name);
        for (int i = 1; is_there(&Column::name, own); ++i) own = std::string(name) + "." + std::to_string(i);
        return {.field = {}, .name = own};
    }

    RequestLine request_of(const std::vector<std::string>& cells) {
        if (cells.size() > columns_.size() && !std::all_of(cells.begin() + static_cast<std::ptrdiff_t>(columns_.size()),
                                                           cells.end(), [](const auto& cell) { return cell.empty(); }))
            throw Error(ErrorCode::input,
                        "has " + std::to_string(cells.size()) + " cells; the header names " + std::to_string(columns_.size()));
        RequestBuilder request;
        for (std::size_t i = 0; i < std::min(cells.size(), columns_.size()); ++i) {
            const auto& [field, name] = columns_[i];
            check_line(cells[i], options_, notes_);
            if (cells[i].empty()) continue;  // leaves its field unset
            if (!field.empty()) set(request, field, cells[i]);
            else if (!name.empty()) request.keep(name, nlohmann::json(cells[i]).dump());
        }
        return request.finish();
    }
    void set(RequestBuilder& request, const std::string& field, std::string value) const {
        if (value == "NA") return;  // R's word for nothing
        // Where commas are decimal points, columns are parted by semicolons.
        if (delimiter_ == ';' && is_number(field)) std::ranges::replace(value, ',', '.');
        request.set(field, value, ValueKind::untyped);
    }

    ReaderOptions options_;
    CsvRows rows_;
    CsvRow row_;
    std::vector<Column> columns_;
    ReaderNotes notes_;
    bool is_tsv_;
    char delimiter_ = ',';
};

}  // namespace

std::unique_ptr<PromptFile> read_table(std::unique_ptr<ByteSource> source, bool is_tsv, ReaderOptions options) {
    return std::make_unique<TableFile>(std::move(source), is_tsv, std::move(options));
}

}  // namespace t2i::batch
