// Prompt files: one prompt a line, AUTOMATIC1111's flag lines, JSON lines, CSV and TSV; read as a stream in bounded memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "batch/byte_source.h"
#include "batch/request_line.h"

namespace t2i::batch {

enum class PromptFormat { text, json_lines, csv, tsv };

// By the end of the name: .jsonl, .ndjson, .csv, .tsv; anything else is text.
[[nodiscard]] PromptFormat format_of(std::string_view path);
// "txt", "jsonl", "csv", "tsv". Throws Error{invalid_argument} about the field format.
[[nodiscard]] PromptFormat format_named(const std::string& name);

class PromptFile {
  public:
    virtual ~PromptFile() = default;
    // The next request or bad line; false at the end. A bad line does not stop the rest.
    // Throws Error{input} when nothing can be made of the file: it cannot be read, is UTF-16, or its header is wrong.
    virtual bool next(PromptEntry& entry) = 0;
    [[nodiscard]] virtual std::uint64_t bytes_read() const = 0;
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;  // 0: not known
};

// `name` is for messages.
[[nodiscard]] std::unique_ptr<PromptFile> read_prompts(std::unique_ptr<ByteSource> source, PromptFormat format,
                                                       const std::string& name);

// One line of text: a prompt, or flags when a word begins with "--" and a letter. Throws Error{input}.
[[nodiscard]] RequestLine parse_text_line(std::string_view line);
// One JSON object. Throws Error{input}.
[[nodiscard]] RequestLine parse_json_line(std::string_view line);

// The beginning of a line, for a report: at most `most` bytes, valid UTF-8, without line breaks.
[[nodiscard]] std::string excerpt(std::string_view line, std::size_t most = 120);

}  // namespace t2i::batch
