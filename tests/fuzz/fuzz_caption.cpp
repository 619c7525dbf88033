// Any text is cleaned to UTF-8 in small letters or is an Error{input} of one line; cleaning never fails otherwise.
#include <cstdint>

#include "core/check.h"
#include "core/escape.h"
#include "fuzz/fuzz_target.h"
#include "text/clean_caption.h"
#include "text/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (!t2i::is_utf8(text)) return 0;
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::string clean = t2i::clean_caption(text, t2i::Field{"prompt"});
        if (!t2i::is_utf8(clean)) throw std::runtime_error("a caption that is not UTF-8");
        if (t2i::strip_left(t2i::strip_right(clean)) != clean) throw std::runtime_error("white space around a caption");
    });
    return 0;
}
