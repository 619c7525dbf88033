// Any bytes in any of the formats, encodings and packings are requests and bad lines with a reason, or an Error{input} for the
// whole file.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "batch/prompt_file.h"
#include "batch/request_fields.h"
#include "fuzz/fuzz_target.h"
#include "text/unicode.h"

namespace {

using namespace t2i::batch;

// The first byte: the format and how the rest is encoded; a source that comes in pieces is read to the same end.
PromptOptions options_of(std::uint8_t choice) {
    PromptOptions options;
    const int format = choice % 6;
    if (format < 5) options.format = static_cast<PromptFormat>(format);
    constexpr const char* encodings[] = {"", "", "UTF-16LE", "UTF-16BE"};  // always there; others are the system's
    options.encoding = encodings[choice / 6 % 4];
    if (choice / 24 % 3 == 1 && format != 0) options.prompt_column = "caption";
    return options;
}

void check(const PromptEntry& entry) {
    T2I_CHECK(entry.request.has_value() == entry.problem.empty(), "a line is a request or has a problem");
    t2i::check_utf8(entry.problem + entry.text, "report");
    if (!entry.request) return;
    const auto& request = entry.request->request;
    t2i::check_utf8(request.prompt, "prompt");
    T2I_CHECK(request.prompt.size() <= prompt_limit_bytes, "a prompt over the limit");
    T2I_CHECK(request.count >= 1 && request.steps.value_or(1) >= 1, "a number out of its range");
    if (!entry.request->id.empty()) check_id(entry.request->id);
    if (!entry.request->extra.empty())
        T2I_CHECK(nlohmann::json::parse(entry.request->extra).is_object(), "what is kept is no JSON object");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
        std::unique_ptr<PromptFile> file;
        try {
            file = read_prompts(memory_source(text), options_of(data[0]), "fuzz");
        } catch (const t2i::Error& error) {
            // A prompt column for what turns out to be text.
            if (error.code() == t2i::ErrorCode::invalid_argument && error.field() == "prompt_column") return;
            throw;
        }
        std::int64_t line = 0;
        for (PromptEntry entry; file->next(entry);) {
            T2I_CHECK(entry.line >= line, "lines go backwards");
            line = entry.line;
            check(entry);
        }
        for (const auto& note : file->notes()) t2i::check_utf8(note, "note");
        T2I_CHECK(file->size_bytes() == 0 || file->bytes_read() == file->size_bytes(), "bytes were left");
    });
    return 0;
}
