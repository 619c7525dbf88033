// Prompt files: one prompt a line, AUTOMATIC1111's flag lines and infotexts, JSON lines and arrays, CSV and TSV, in any encoding,
// packed with gzip or not; read as a stream in bounded memory.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "batch/byte_source.h"
#include "batch/prompt_format.h"
#include "batch/request_line.h"

namespace t2i::batch {

struct PromptOptions {
    std::optional<PromptFormat> format{};  // unset: by name and content
    std::string encoding{};                // as iconv calls it; empty: what a byte-order mark says, else UTF-8
    std::string prompt_column{};           // of a table or of JSON: the column that holds the prompt; empty: "prompt"
};

class PromptFile {
  public:
    virtual ~PromptFile() = default;
    // The next request or bad line; false at the end. A bad line does not stop the rest.
    // Throws Error{input} when nothing can be made of the file: it cannot be read, or its header is wrong.
    virtual bool next(PromptEntry& entry) = 0;
    // Of what next() gave.
    [[nodiscard]] virtual std::uint64_t bytes_read() const = 0;
    [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;  // 0: not known
    // After the end: what a person should know of how it was read, a line each.
    [[nodiscard]] virtual std::vector<std::string> notes() const { return {}; }
};

// `name` is for messages, and for the format. Throws Error: input (see choose_format() and refuse_binary()), invalid_argument (an
// encoding that is not known, a prompt column for text). The text may be anybody's: a line that names a file (init_image, mask)
// is a bad one.
[[nodiscard]] std::unique_ptr<PromptFile> read_prompts(std::unique_ptr<ByteSource> source, const PromptOptions& options,
                                                       const std::string& name);

// The same of a path, or "-", whose lines may name files; stop_fd and idle as open_source() takes them.
[[nodiscard]] std::unique_ptr<PromptFile> open_prompts(const std::string& path, const PromptOptions& options, int stop_fd = -1,
                                                       std::function<void(bool)> idle = {});

// The beginning of a line, for a report: at most `most` bytes, valid UTF-8, without line breaks.
[[nodiscard]] std::string excerpt(std::string_view line, std::size_t most = 120);

}  // namespace t2i::batch
