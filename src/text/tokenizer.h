// From a prompt to the ids that a text encoder reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

struct Tokens {
    std::vector<std::int32_t> ids;  // with the end-of-sequence id, without padding
    std::string cut;                // the end of the text that did not fit; empty when all of it did
};

class Tokenizer {
  public:
    virtual ~Tokenizer() = default;
    // utf8 must be valid; max_tokens counts the end-of-sequence id and is at least 1.
    [[nodiscard]] virtual Tokens encode(std::string_view utf8, std::int64_t max_tokens) const = 0;
    [[nodiscard]] virtual std::int64_t vocabulary() const = 0;  // ids are below it
};

// Opens a pipeline's tokenizer folder: spiece.model, and tokenizer_config.json where there is one.
// Throws Error{input} naming the file.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder);
// The files that it reads.
[[nodiscard]] std::vector<std::string> tokenizer_files(const std::string& folder);

}  // namespace t2i
