#include "batch/prompt_file.h"

#include <algorithm>

#include "batch/encoding.h"
#include "batch/gzip_source.h"
#include "batch/prompt_readers.h"
#include "core/nearest.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

std::string lines_text(std::int64_t n) {
    return std::to_string(n) + (n == 1 ? " line" : " lines");
}

std::unique_ptr<StartedSource> unpacked(std::unique_ptr<ByteSource> source, const std::string& name) {
    auto started = std::make_unique<StartedSource>(std::move(source));
    while (started->start().size() < gzip_mark.size() && gzip_mark.starts_with(started->start()) && started->more()) {
    }
    if (!started->start().starts_with(gzip_mark)) return started;
    return std::make_unique<StartedSource>(unpack_gzip(std::move(started), name));
}

// As UTF-8 without a mark; `encoding` becomes what it was decoded from, empty for UTF-8.
std::unique_ptr<StartedSource> decoded(std::unique_ptr<StartedSource> source, std::string& encoding) {
    if (!encoding.empty()) check_encoding(encoding);
    if (const EncodingMark mark = find_encoding_mark(*source); mark.bytes > 0) {
        source->skip(mark.bytes);
        encoding = mark.encoding == "UTF-8" ? std::string() : mark.encoding;
    }
    if (encoding.empty()) {
        // Text has none, UTF-16 of European languages every second byte.
        constexpr std::size_t looked_at = 256;
        if (const auto zero = source->start().substr(0, looked_at).find('\0'); zero != std::string_view::npos)
            throw Error(ErrorCode::input,
                        std::string("the file holds NUL bytes: if it is UTF-16, say so (") +
                            (zero % 2 == 0 ? "utf-16be" : "utf-16le") + ")",
                        Field{"encoding"});
        return source;
    }
    return std::make_unique<StartedSource>(decode(std::move(source), encoding));
}

// Lines that name files are bad ones.
class WithoutFiles final : public PromptFile {
  public:
    explicit WithoutFiles(std::unique_ptr<PromptFile> file) : file_(std::move(file)) {}

    bool next(PromptEntry& entry) override {
        if (!file_->next(entry)) return false;
        if (!entry.request) return true;
        const GenerateRequest& r = entry.request->request;
        const char* field = !r.init_image.file.empty() ? "init_image" : !r.mask.file.empty() ? "mask" : nullptr;
        if (!field) return true;
        const std::string prompt = r.prompt;
        set_problem(entry, Error(ErrorCode::input, "names a file, and files are not read for this request", Field{field}),
                    prompt);
        return true;
    }
    [[nodiscard]] std::uint64_t bytes_read() const override { return file_->bytes_read(); }
    [[nodiscard]] std::uint64_t size_bytes() const override { return file_->size_bytes(); }
    [[nodiscard]] std::vector<std::string> notes() const override { return file_->notes(); }

  private:
    std::unique_ptr<PromptFile> file_;
};

}  // namespace

std::string ReaderOptions::field_of(std::string_view column) const {
    if (!prompt_column.empty() && equals_without_case(column, prompt_column)) return "prompt";
    std::string field = field_name(column);
    return field == "prompt" && !prompt_column.empty() ? std::string() : field;
}

std::vector<std::string> ReaderNotes::lines() const {
    std::vector<std::string> all;
    std::string names;
    for (const auto& [option, n] : passed_over) names += (names.empty() ? "" : ", ") + option + " (" + lines_text(n) + ")";
    if (!names.empty()) all.push_back("options that say nothing here were passed over: " + names);
    if (infotexts > 0)
        all.push_back(std::to_string(infotexts) + (infotexts == 1 ? " infotext" : " infotexts") +
                      ": prompts, steps, sampler, schedule, CFG scale, seed and size were read, the rest passed over");
    if (not_utf8 > 0)
        all.push_back(lines_text(not_utf8) + " not in UTF-8: the file may be in another encoding, such as gbk or windows-1252");
    return all;
}

void check_line(std::string_view text, const ReaderOptions& options, ReaderNotes& notes) {
    try {
        check_utf8(text, "line");
    } catch (const Error&) {
        if (!options.encoding.empty()) throw Error(ErrorCode::input, "line is not " + options.encoding);
        ++notes.not_utf8;
        throw;
    }
}

void set_problem(PromptEntry& entry, const Error& error, std::string_view text) {
    entry.request.reset();
    entry.problem = problem_of(error);
    entry.text = excerpt(text);
}

namespace {

std::unique_ptr<PromptFile> read_any(std::unique_ptr<ByteSource> source, const PromptOptions& options, const std::string& name) {
    ReaderOptions reader{.name = name, .encoding = options.encoding, .prompt_column = options.prompt_column};
    auto bytes = unpacked(std::move(source), name);
    refuse_binary(*bytes, name);  // before its zeros are taken for UTF-16
    auto text = decoded(std::move(bytes), reader.encoding);
    const PromptFormat format = options.format ? *options.format : choose_format(*text, name, options.prompt_column);
    switch (format) {
        case PromptFormat::json_lines:
            return read_json_lines(std::move(text), std::move(reader));
        case PromptFormat::json:
            return read_json(std::move(text), std::move(reader));
        case PromptFormat::csv:
        case PromptFormat::tsv:
            return read_table(std::move(text), format == PromptFormat::tsv, std::move(reader));
        case PromptFormat::text:
            break;
    }
    if (!options.prompt_column.empty())
        throw Error(ErrorCode::invalid_argument, in_quotes(name) + " is text, which has no columns", Field{"prompt_column"});
    return read_text(std::move(text), std::move(reader));
}

}  // namespace

std::unique_ptr<PromptFile> read_prompts(std::unique_ptr<ByteSource> source, const PromptOptions& options,
                                         const std::string& name) {
    return std::make_unique<WithoutFiles>(read_any(std::move(source), options, name));
}

std::unique_ptr<PromptFile> open_prompts(const std::string& path, const PromptOptions& options, int stop_fd,
                                         std::function<void(bool)> idle) {
    return read_any(open_source(path, stop_fd, std::move(idle)), options, path == "-" ? "standard input" : path);
}

std::string excerpt(std::string_view line, std::size_t most) {
    std::string text;
    for (const char c : line.substr(0, most)) text += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
    // Not UTF-8, or cut inside a character: bytes above ASCII are shown as '?'.
    while (true) {
        try {
            check_utf8(text, "");
            break;
        } catch (const Error&) {
            if (line.size() > most && text.size() + 3 > most && !text.empty() && static_cast<unsigned char>(text.back()) >= 128) {
                text.pop_back();
                continue;
            }
            for (char& c : text)
                if (static_cast<unsigned char>(c) >= 128) c = '?';
        }
    }
    return line.size() > most ? text + "…" : text;
}

}  // namespace t2i::batch
