#include "generators/prompts.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "core/out_of_memory.h"
#include "generators/model_folder.h"
#include "generators/model_hash.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "t2i/error.h"
#include "text/class_names.h"
#include "text/clean_caption.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// Texts are padded to a multiple of this many tokens, so that prompts of similar length share a loop and its recordings.
constexpr std::size_t text_step = 8;

class TextPrompts final : public Prompts {
  public:
    TextPrompts(const ComponentSource& tokenizer, const ComponentSource& encoder, int max_tokens, Backend& backend, DType compute,
                const PromptOptions& options)
        : most_tokens_(max_tokens),
          tokenizer_folder_(tokenizer.path),
          tokenizer_(load_tokenizer(tokenizer.path, tokenizer.class_name)),
          encoder_(load_text_encoder(backend, encoder, compute, options.most_resident_bytes)),
          cache_(static_cast<std::size_t>(options.cache)) {
        if (!options.cache_folder.empty())
            cache_.keep_on_disk({options.cache_folder, hash_files(text_encoder_files(encoder)) + ", " + options.origin});
    }

    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field, bool clean) const override {
        check_utf8(prompt, Field{field});
        const std::string text = clean ? clean_caption(prompt, Field{field}) : lower_and_strip(prompt);
        Tokens tokens = tokenizer_->encode(text, most_tokens_);
        check_known(tokens, text, field);
        return tokens;
    }

    // Padded with zeros to the longest, rounded up.
    [[nodiscard]] Conditioning encode(const ExecContext& ctx, std::span<const std::vector<std::int32_t>> prompts,
                                      const Ahead& ahead) override {
        const auto texts = cache_.encode(ctx, *encoder_, prompts, ahead);
        std::size_t longest = 0;
        for (const auto& ids : prompts) longest = std::max(longest, ids.size());
        const std::int64_t length = static_cast<std::int64_t>(rows(longest)), width = encoder_->width();
        TextConditioning all{.embeddings = allocate(ctx.backend, {static_cast<std::int64_t>(texts.size()), length, width})};
        const Tensor zeros = Tensor::host({length, width});
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const std::int64_t valid = texts[i]->shape()[0];
            const TensorView row = all.embeddings.view.slice(static_cast<std::int64_t>(i), 1).reshaped({length, width});
            ctx.backend.copy(*texts[i], row.slice(0, valid));
            if (valid < length) ctx.backend.copy(zeros.view.slice(valid, length - valid), row.slice(valid, length - valid));
            all.lengths.push_back(static_cast<std::int32_t>(valid));
        }
        return all;
    }

    [[nodiscard]] std::size_t rows(std::size_t ids) const override { return (ids + text_step - 1) / text_step * text_step; }

    [[nodiscard]] std::int64_t width() const override { return encoder_->width(); }
    void forget() override { cache_.clear(); }

    [[nodiscard]] double load_ms() const override { return encoder_->load_ms(); }

  private:
    // A tokenizer may have more ids than the encoder has embeddings (sentinels, added tokens): what counts is what is used.
    void check_known(const Tokens& tokens, const std::string& text, const char* field) const {
        const std::int64_t known = encoder_->vocabulary();
        const auto unknown = std::ranges::find_if(tokens.placed, [&](const PlacedToken& t) { return t.id >= known; });
        if (unknown == tokens.placed.end()) return;
        const std::string id = "id " + std::to_string(unknown->id) + " of the tokenizer, and the text encoder's ids end at " +
                               std::to_string(known - 1);
        if (unknown->begin == unknown->end) throw Error(ErrorCode::input, "the end of a text is " + id, tokenizer_folder_);
        const std::string word = text.substr(unknown->begin, unknown->end - unknown->begin);
        throw Error(ErrorCode::input, "holds \"" + word + "\", which is " + id, Field{field});
    }

    int most_tokens_;
    std::string tokenizer_folder_;
    std::unique_ptr<Tokenizer> tokenizer_;
    std::unique_ptr<TextEncoder> encoder_;
    TextCache cache_;
};

// The class that a prompt names is its only id.
class ClassPrompts final : public Prompts {
  public:
    ClassPrompts(const ModelFolder& folder, std::int64_t classes) : names_(checked(folder, classes), classes) {}

    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field, bool /*clean*/) const override {
        check_utf8(prompt, Field{field});
        Tokens tokens;
        tokens.append({names_.find(prompt, Field{field}), 0, prompt.size()});
        return tokens;
    }

    [[nodiscard]] Conditioning encode(const ExecContext&, std::span<const std::vector<std::int32_t>> prompts,
                                      const Ahead&) override {
        LabelConditioning all;
        for (const auto& ids : prompts) all.labels.push_back(ids.front());
        return all;
    }

    [[nodiscard]] std::size_t rows(std::size_t /*ids*/) const override { return 0; }

    void forget() override {}

  private:
    static const std::vector<ClassLabel>& checked(const ModelFolder& folder, std::int64_t classes) {
        for (const auto& label : folder.classes)
            if (label.id >= classes)
                throw Error(
                    ErrorCode::input,
                    "\"id2label\" names class " + std::to_string(label.id) + ", the transformer knows " + std::to_string(classes),
                    (std::filesystem::path(folder.base ? folder.base->path : folder.path) / "model_index.json").string());
        return folder.classes;
    }

    ClassNames names_;
};

}  // namespace

std::vector<std::shared_ptr<const Tensor>> TextCache::encode(const ExecContext& ctx, const TextEncoder& encoder,
                                                             std::span<const std::vector<std::int32_t>> prompts,
                                                             const Ahead& ahead) {
    Texts texts;  // of this call
    std::vector<std::vector<std::int32_t>> missing;
    const auto want = [&](const std::vector<std::int32_t>& ids) {
        const auto known = known_.find(ids);
        if (known != known_.end()) known->second.used = ++clock_;
        const auto [text, is_new] = texts.emplace(ids, known == known_.end() ? nullptr : known->second.text);
        if (!is_new || text->second) return;
        if ((text->second = load_stored(ctx, encoder, ids))) remember(ids, text->second);
        else missing.push_back(ids);
    };
    for (const auto& ids : prompts) want(ids);
    const std::size_t own = missing.size();
    if (!missing.empty() && !encoder.is_resident() && ahead) {
        const std::size_t most = std::min(most_ahead, entries_);
        std::set<std::size_t> lengths;
        for (const auto& ids : missing) lengths.insert(ids.size());
        const auto is_small = [&] {  // an encoder holds a table of each length squared
            return std::accumulate(lengths.begin(), lengths.end(), std::size_t{0},
                                   [](std::size_t sum, std::size_t n) { return sum + n * n; }) <= most_squares_ahead;
        };
        for (const auto& ids : ahead(most)) {
            lengths.insert(ids.size());
            if (missing.size() < most && is_small()) want(ids);
        }
    }
    try {
        if (!missing.empty()) encode_all(ctx, encoder, missing, texts);
    } catch (const OutOfMemory&) {
        if (missing.size() == own) throw;
        missing.resize(own);  // those of this call alone
        encode_all(ctx, encoder, missing, texts);
    }
    while (known_.size() > entries_)
        known_.erase(std::ranges::min_element(known_, {}, [](const auto& item) { return item.second.used; }));
    std::vector<std::shared_ptr<const Tensor>> out;
    for (const auto& ids : prompts) out.push_back(texts.at(ids));
    return out;
}

std::shared_ptr<const Tensor> TextCache::load_stored(const ExecContext& ctx, const TextEncoder& encoder,
                                                     const std::vector<std::int32_t>& ids) const {
    const auto stored = store_ ? store_->load(ids, encoder.width()) : std::nullopt;
    if (!stored || stored->shape()[0] != static_cast<std::int64_t>(ids.size())) return nullptr;
    return std::make_shared<Tensor>(upload(ctx.backend, *stored));
}

void TextCache::encode_all(const ExecContext& ctx, const TextEncoder& encoder, std::span<const std::vector<std::int32_t>> prompts,
                           Texts& texts) {
    std::vector<std::shared_ptr<Tensor>> made;
    std::vector<TextEncoder::Text> jobs;
    for (const auto& ids : prompts) {
        made.push_back(std::make_shared<Tensor>(allocate(ctx.backend, {static_cast<std::int64_t>(ids.size()), encoder.width()})));
        jobs.push_back({ids, *made.back()});
    }
    encoder.encode(ctx, jobs);
    for (std::size_t i = 0; i < made.size(); ++i) {
        if (store_) {
            const Tensor host = Tensor::host(made[i]->shape());
            ctx.backend.copy(*made[i], host);
            store_->save(prompts[i], host);
        }
        texts[prompts[i]] = made[i];
        remember(prompts[i], made[i]);
    }
}

void TextCache::remember(const std::vector<std::int32_t>& ids, const std::shared_ptr<const Tensor>& text) {
    if (entries_ > 0) known_[ids] = {text, ++clock_};
}

std::unique_ptr<Prompts> load_text_prompts(const ComponentSource& tokenizer, const ComponentSource& encoder, int max_tokens,
                                           Backend& backend, DType compute, const PromptOptions& options) {
    return std::make_unique<TextPrompts>(tokenizer, encoder, max_tokens, backend, compute, options);
}

std::unique_ptr<Prompts> load_class_prompts(const ModelFolder& folder, std::int64_t classes) {
    return std::make_unique<ClassPrompts>(folder, classes);
}

}  // namespace t2i
