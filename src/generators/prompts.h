// From prompts to what a denoiser is told to draw: text through tokenizer and encoder, or a class by its name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "generators/text_store.h"
#include "models/roles.h"
#include "text/tokenizer.h"

namespace t2i {

// Ids of prompts that will be asked for soon, the next ones first; `enough` of them where there are so many. Called only where it
// pays to encode them too.
using Ahead = std::function<std::vector<std::vector<std::int32_t>>(std::size_t enough)>;

// Encoded prompts, the most recently used ones.
class TextCache {
  public:
    // entries 0: nothing is kept in memory.
    explicit TextCache(std::size_t entries) : entries_(entries) {}
    // Looked in before a prompt is encoded, and added to after.
    void keep_on_disk(TextStore store) { store_ = std::move(store); }
    // [T, C] f32 in the encoder's backend's memory for each prompt, in order; each distinct one is encoded once. Where the
    // encoder must be read from its file anyway, prompts to come are encoded and kept, so that it is read once for a group of
    // them.
    [[nodiscard]] std::vector<std::shared_ptr<const Tensor>> encode(const ExecContext& ctx, const TextEncoder& encoder,
                                                                    std::span<const std::vector<std::int32_t>> prompts,
                                                                    const Ahead& ahead = {});
    void clear() { known_.clear(); }

  private:
    struct Entry {
        std::shared_ptr<const Tensor> text;
        std::uint64_t used = 0;
    };
    using Texts = std::map<std::vector<std::int32_t>, std::shared_ptr<const Tensor>>;
    // Prompts encoded at a time: reading T5-XXL costs about as much as encoding two of them, and a prompt takes 2 MB at most.
    static constexpr std::size_t most_ahead = 64;
    // Sum of the squares of their lengths, each length once: 77 MB of position biases in T5-XXL, of 64 heads.
    static constexpr std::size_t most_squares_ahead = 300'000;
    // Null: it is not stored.
    [[nodiscard]] std::shared_ptr<const Tensor> load_stored(const ExecContext& ctx, const TextEncoder& encoder,
                                                            const std::vector<std::int32_t>& ids) const;
    void encode_all(const ExecContext& ctx, const TextEncoder& encoder, std::span<const std::vector<std::int32_t>> prompts,
                    Texts& texts);
    void remember(const std::vector<std::int32_t>& ids, const std::shared_ptr<const Tensor>& text);

    std::size_t entries_;
    std::optional<TextStore> store_;
    std::uint64_t clock_ = 0;
    std::map<std::vector<std::int32_t>, Entry> known_;
};

struct ComponentSource;
struct ModelFolder;

class Prompts {
  public:
    virtual ~Prompts() = default;
    // A prompt as ids, of a text after clean_caption() where `clean` says so. Throws Error about `field`: input (not UTF-8,
    // cannot be cleaned), invalid_argument (a class that the model does not know).
    [[nodiscard]] virtual Tokens tokenize(const std::string& prompt, const char* field, bool clean) const = 0;
    // Ids of tokenize() → one row a prompt, in order.
    [[nodiscard]] virtual Conditioning encode(const ExecContext& ctx, std::span<const std::vector<std::int32_t>> prompts,
                                              const Ahead& ahead) = 0;
    // Rows of text that the model reads for a prompt of so many ids, padding included; 0 where it reads a label. Of prompts that
    // are encoded together, the longest one's.
    [[nodiscard]] virtual std::size_t rows(std::size_t ids) const = 0;
    // Columns of that text; 0 where it reads a label.
    [[nodiscard]] virtual std::int64_t width() const { return 0; }
    // Frees what is kept of earlier prompts.
    virtual void forget() = 0;
    // What reading an encoder that does not stay in memory has taken so far.
    [[nodiscard]] virtual double load_ms() const { return 0; }
};

struct PromptOptions {
    int cache = 0;                               // encoded texts kept in memory
    std::string cache_folder;                    // and on disk; empty: nowhere
    std::string origin;                          // what the bits of an encoded text depend on besides the encoder and its ids
    std::size_t most_resident_bytes = SIZE_MAX;  // of an encoder that stays in memory
};

// A tokenizer's and a text encoder's folder; prompts are cut at max_tokens. Throws Error{input} naming the file.
[[nodiscard]] std::unique_ptr<Prompts> load_text_prompts(const ComponentSource& tokenizer, const ComponentSource& encoder,
                                                         int max_tokens, Backend& backend, DType compute,
                                                         const PromptOptions& options);
// The class names of the folder's model_index.json, of a model that knows so many. Throws Error{input} naming the file.
[[nodiscard]] std::unique_ptr<Prompts> load_class_prompts(const ModelFolder& folder, std::int64_t classes);

}  // namespace t2i
