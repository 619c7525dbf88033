// From a prompt to the ids that a text encoder reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// One id and the part of the prompt that it stands for.
struct PlacedToken {
    std::int32_t id;
    std::size_t begin, end;  // bytes of the prompt; empty for what is put around every text
};

struct Tokens {
    std::vector<std::int32_t> ids{};    // with the end-of-sequence id, without padding
    std::string cut{};                  // the end of the text that did not fit; empty when all of it did
    std::vector<PlacedToken> placed{};  // the same ids with their places

    void append(PlacedToken token) {
        ids.push_back(token.id);
        placed.push_back(token);
    }
};

class Tokenizer {
  public:
    virtual ~Tokenizer() = default;
    // utf8 must be valid; max_tokens counts the end-of-sequence id and is at least 1.
    [[nodiscard]] virtual Tokens encode(std::string_view utf8, std::int64_t max_tokens) const = 0;
};

// The first `room` of `tokens`, and what of `utf8` they leave out.
[[nodiscard]] Tokens first_tokens(const std::vector<PlacedToken>& tokens, std::size_t room, std::string_view utf8);

// Opens a pipeline's tokenizer folder as transformers 4 does. class_name is the one that model_index.json gives; empty or
// AutoTokenizer: tokenizer_config.json names it, else it is T5Tokenizer.
// T5Tokenizer, the slow one, reads spiece.model. T5TokenizerFast reads tokenizer.json, and makes one of spiece.model where there
// is none or where "add_prefix_space" is set. PreTrainedTokenizerFast reads tokenizer.json. Where one of the two files is alone
// it is read in any case, by the fast rules if it is tokenizer.json: transformers 5 writes no other. Throws Error{input} naming
// the file.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder, const std::string& class_name = {});
// The files that it reads.
[[nodiscard]] std::vector<std::string> tokenizer_files(const std::string& folder, const std::string& class_name = {});
// The class by whose rules it reads them, where these files alone do not say it: of spiece.model T5TokenizerFast, of
// tokenizer.json PreTrainedTokenizerFast. Empty for the usual ones.
[[nodiscard]] std::string tokenizer_rules(const std::string& folder, const std::string& class_name = {});

}  // namespace t2i
