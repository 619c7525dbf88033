// Any bytes are either a tokenizer whose pieces lie in the prompt, in its order, or an Error.
#include <cstdint>
#include <string>

#include "fuzz/fuzz_target.h"
#include "text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const auto tokenizer =
            t2i::make_fast_tokenizer(t2i::parse_tokenizer_json(std::string(reinterpret_cast<const char*>(data), size), "fuzz"));
        for (const std::string prompt :
             {"", "a red  apple <x> \u00e9e\u0301\u2460\u0301 \u732b\u2581<b>", "\t\u3000 aaaaaaaaaaaaaaaaaaaaaaa "}) {
            const t2i::Tokens tokens = tokenizer->encode(prompt, 20);
            T2I_CHECK(tokens.ids.size() == tokens.placed.size(), "ids without a place");
            for (const t2i::PlacedToken& token : tokens.placed) {
                T2I_CHECK(token.id >= 0, "an id below zero");
                T2I_CHECK(token.begin <= token.end && token.end <= prompt.size(), "a piece that is not in the prompt");
            }
            T2I_CHECK(prompt.ends_with(tokens.cut), "what was cut is not the end of the prompt");
        }
    });
    return 0;
}
