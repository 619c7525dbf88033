// The readers of the formats, for prompt_file.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "batch/prompt_file.h"
#include "batch/request_fields.h"

namespace t2i::batch {

// What all readers of one file share.
struct ReaderOptions {
    std::string name;           // for messages
    std::string encoding;       // that it was decoded from; empty: UTF-8
    std::string prompt_column;  // see PromptOptions
    // The canonical name of the field that a column or key holds; empty: none. prompt_column counts.
    [[nodiscard]] std::string field_of(std::string_view column) const;
};

// Things that are said once, with their number.
struct ReaderNotes {
    PassedOver passed_over;
    std::int64_t not_utf8 = 0;  // lines
    std::int64_t infotexts = 0;
    [[nodiscard]] std::vector<std::string> lines() const;
};

// Throws Error{input} and counts it when the line is not what the file's encoding says.
void check_line(std::string_view text, const ReaderOptions& options, ReaderNotes& notes);

// The problem in the entry's words, in place of its request.
void set_problem(PromptEntry& entry, const Error& error, std::string_view text);

// A line a prompt, or flags, and infotexts (text_file.cpp).
[[nodiscard]] std::unique_ptr<PromptFile> read_text(std::unique_ptr<StartedSource> source, ReaderOptions options);
// A line an object; or objects and texts, in an array or one after the other (json_file.cpp).
[[nodiscard]] std::unique_ptr<PromptFile> read_json_lines(std::unique_ptr<ByteSource> source, ReaderOptions options);
[[nodiscard]] std::unique_ptr<PromptFile> read_json(std::unique_ptr<ByteSource> source, ReaderOptions options);
// A header, then a row a request (table_file.cpp). is_tsv: tabs are tried first, not commas.
[[nodiscard]] std::unique_ptr<PromptFile> read_table(std::unique_ptr<ByteSource> source, bool is_tsv, ReaderOptions options);

// One JSON object. Throws Error{input}.
[[nodiscard]] RequestLine parse_json_request(std::string_view text, const ReaderOptions& options = {});

}  // namespace t2i::batch
