// Any bytes in any of the formats are requests and bad lines with a reason, or an Error{input} for the whole file.
#include <cstdint>

#include "batch/prompt_file.h"
#include "batch/request_fields.h"
#include "fuzz/fuzz_target.h"
#include "text/unicode.h"

// The first byte chooses the format.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    t2i::fuzz::expect_input_error_or_success([&] {
        using namespace t2i::batch;
        const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
        const auto file = read_prompts(t2i::batch::memory_source(text), static_cast<PromptFormat>(data[0] % 4), "fuzz");
        std::int64_t line = 0;
        for (PromptEntry entry; file->next(entry);) {
            T2I_CHECK(entry.line >= line, "lines go backwards");
            line = entry.line;
            T2I_CHECK(entry.request.has_value() == entry.problem.empty(), "a line is a request or has a problem");
            t2i::check_utf8(entry.problem + entry.text, "report");
            if (!entry.request) continue;
            t2i::check_utf8(entry.request->request.prompt, "prompt");
            T2I_CHECK(entry.request->request.prompt.size() <= prompt_limit_bytes, "a prompt over the limit");
            if (!entry.request->id.empty()) check_id(entry.request->id);
        }
        T2I_CHECK(file->bytes_read() == text.size(), "bytes were left");
    });
    return 0;
}
