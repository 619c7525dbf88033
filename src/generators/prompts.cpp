#include "generators/prompts.h"

#include <algorithm>
#include <filesystem>

#include "generators/model_folder.h"
#include "generators/model_hash.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "t2i/error.h"
#include "text/class_names.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// Texts are padded to a multiple of this many tokens, so that prompts of similar length share a loop and its recordings.
constexpr std::size_t text_step = 8;

class TextPrompts final : public Prompts {
  public:
    TextPrompts(const std::string& tokenizer, const std::string& encoder, int max_tokens, Backend& backend, DType compute,
                const PromptOptions& options)
        : most_tokens_(max_tokens),
          tokenizer_(load_tokenizer(tokenizer)),
          encoder_(load_text_encoder(backend, encoder, compute)),
          cache_(static_cast<std::size_t>(options.cache)) {
        if (tokenizer_->vocabulary() > encoder_->vocabulary())
            throw Error(ErrorCode::input,
                        "tokenizer has " + std::to_string(tokenizer_->vocabulary()) + " ids, the text encoder knows " +
                            std::to_string(encoder_->vocabulary()),
                        tokenizer);
        if (!options.cache_folder.empty())
            cache_.keep_on_disk({options.cache_folder, hash_files(component_files(encoder)) + ", " + options.origin});
    }

    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field) const override {
        check_utf8(prompt, Field{field});
        return tokenizer_->encode(lower_and_strip(prompt), most_tokens_);
    }

    // Padded with zeros to the longest, rounded up.
    [[nodiscard]] Conditioning encode(const ExecContext& ctx, std::span<const std::vector<std::int32_t>> prompts) override {
        const auto texts = cache_.encode(ctx, *encoder_, prompts);
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

    void forget() override { cache_.clear(); }

  private:
    int most_tokens_;
    std::unique_ptr<Tokenizer> tokenizer_;
    std::unique_ptr<TextEncoder> encoder_;
    TextCache cache_;
};

// The class that a prompt names is its only id.
class ClassPrompts final : public Prompts {
  public:
    ClassPrompts(const ModelFolder& folder, std::int64_t classes) : names_(checked(folder, classes), classes) {}

    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field) const override {
        check_utf8(prompt, Field{field});
        return {.ids = {names_.find(prompt, Field{field})}, .cut = {}};
    }

    [[nodiscard]] Conditioning encode(const ExecContext&, std::span<const std::vector<std::int32_t>> prompts) override {
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
                    (std::filesystem::path(folder.path) / "model_index.json").string());
        return folder.classes;
    }

    ClassNames names_;
};

}  // namespace

std::vector<std::shared_ptr<const Tensor>> TextCache::encode(const ExecContext& ctx, const TextEncoder& encoder,
                                                             std::span<const std::vector<std::int32_t>> prompts) {
    std::map<std::vector<std::int32_t>, std::shared_ptr<const Tensor>> texts;  // of this call
    for (const auto& ids : prompts) {
        const auto known = known_.find(ids);
        if (known != known_.end()) known->second.used = ++clock_;
        const auto [text, is_new] = texts.emplace(ids, known == known_.end() ? nullptr : known->second.text);
        if (!is_new || text->second) continue;
        remember(ids, text->second = encode_one(ctx, encoder, ids));
    }
    while (known_.size() > entries_)
        known_.erase(std::ranges::min_element(known_, {}, [](const auto& item) { return item.second.used; }));
    std::vector<std::shared_ptr<const Tensor>> out;
    for (const auto& ids : prompts) out.push_back(texts.at(ids));
    return out;
}

std::shared_ptr<const Tensor> TextCache::encode_one(const ExecContext& ctx, const TextEncoder& encoder,
                                                    const std::vector<std::int32_t>& ids) const {
    if (store_)
        if (const auto stored = store_->load(ids, encoder.width());
            stored && stored->shape()[0] == static_cast<std::int64_t>(ids.size()))
            return std::make_shared<Tensor>(upload(ctx.backend, *stored));
    auto text = std::make_shared<Tensor>(allocate(ctx.backend, {static_cast<std::int64_t>(ids.size()), encoder.width()}));
    encoder.encode(ctx, ids, *text);
    if (store_) {
        const Tensor host = Tensor::host(text->shape());
        ctx.backend.copy(*text, host);
        store_->save(ids, host);
    }
    return text;
}

void TextCache::remember(const std::vector<std::int32_t>& ids, const std::shared_ptr<const Tensor>& text) {
    if (entries_ > 0) known_[ids] = {text, ++clock_};
}

std::unique_ptr<Prompts> load_text_prompts(const std::string& tokenizer, const std::string& encoder, int max_tokens,
                                           Backend& backend, DType compute, const PromptOptions& options) {
    return std::make_unique<TextPrompts>(tokenizer, encoder, max_tokens, backend, compute, options);
}

std::unique_ptr<Prompts> load_class_prompts(const ModelFolder& folder, std::int64_t classes) {
    return std::make_unique<ClassPrompts>(folder, classes);
}

}  // namespace t2i
