// Which format a prompt file has: by its name and by what it begins with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "batch/byte_source.h"

namespace t2i::batch {

enum class PromptFormat : std::uint8_t { text, json_lines, json, csv, tsv };

// "txt", "jsonl", "json", "csv", "tsv". Throws Error{invalid_argument} about the field format.
[[nodiscard]] PromptFormat format_named(const std::string& name);

// By the end of the name in any case, also before ".gz", and by the source's beginning, which counts alone where the name says
// nothing, as that of standard input. Of a live source no more is waited for than its first line.
// prompt_column: see PromptOptions. Throws Error{input} about the field format where the two contradict each other, or where it
// is something that is not read, such as YAML.
[[nodiscard]] PromptFormat choose_format(StartedSource& source, const std::string& name, const std::string& prompt_column);

// Throws Error{input} naming the file when it begins as one that holds no text, such as a workbook or a picture.
void refuse_binary(StartedSource& source, const std::string& name);

// The line without its end.
[[nodiscard]] std::string_view without_line_end(std::string_view line);

}  // namespace t2i::batch
