#include "batch/model_identity.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "batch/files.h"
#include "batch/manifest.h"
#include "batch/request_id.h"
#include "core/files.h"
#include "core/nearest.h"
#include "generators/model_hash.h"
#include "pipeline/parameters.h"

namespace t2i::batch {

using json = nlohmann::ordered_json;

namespace {

std::string canonical(const Picture& picture) {
    return canonical_request(picture.settings->resolved, picture.text->start.get(), picture.text->prompt,
                             picture.text->negative_prompt, std::to_string(picture.seed));
}

}  // namespace

const std::string& ModelIdentity::text() const {
    std::call_once(once_, [this] {
        const ModelInfo& info = engine_.info();
        const ModelHashes& hashes = engine_.hashes();
        json all{{"model", hashes.model},
                 {"vae", hashes.decoder},
                 {"device", info.device},
                 {"dtype", info.dtype},
                 {"fast_math", info.fast_math}};
        for (const auto& [component, hash] : hashes.parts) all[component] = hash;
        text_ = all.dump();
    });
    return text_;
}

const std::string& ModelIdentity::text_0_1() const {
    std::call_once(once_0_1_, [this] {
        std::string decoder;
        if (std::error_code ec; !vae_.empty())
            decoder = std::filesystem::is_directory(vae_, ec) ? hash_weights_0_1(vae_)
                                                              : sha256_hex(read_file(vae_, std::size_t{4} << 30U));
        const ModelInfo& info = engine_.info();
        text_0_1_ = json{{"model", hash_weights_0_1(engine_.folder().path)},
                         {"vae", decoder},
                         {"device", info.device},
                         {"dtype", info.dtype}}
                        .dump();
    });
    return text_0_1_;
}

std::string ModelIdentity::request_hash(const Picture& picture) const {
    return hash128_hex(canonical(picture) + text());
}

std::string ModelIdentity::request_hash(const Picture& picture, const JournalRecord& record) const {
    return record.version.empty() ? hash128_hex(canonical(picture) + text_0_1()) : request_hash(picture);
}

std::string ModelIdentity::parameters(const Picture& picture) const {
    ResolvedRequest r = picture.settings->resolved;
    r.prompt = picture.text->prompt;
    r.negative_prompt = picture.text->negative_prompt;
    r.start = picture.text->start;
    return parameters_text(r, engine_.info(), engine_.hashes(), picture.seed);
}

std::string ModelIdentity::manifest(const Picture& picture) const {
    return manifest_parameters(picture, engine_.info(), engine_.hashes());
}

std::string ModelIdentity::difference(const Picture& picture, const JournalRecord& record) const {
    if (record.parameters.empty()) return "was made by t2i 0.1.0 from another request, or by another model, device or dtype";
    static constexpr std::array<std::string_view, 26> told{"prompt",
                                                           "negative_prompt",
                                                           "seed",
                                                           "steps",
                                                           "cfg_scale",
                                                           "width",
                                                           "height",
                                                           "sampler_name",
                                                           "scheduler",
                                                           "model_hash",
                                                           "vae_hash",
                                                           "device",
                                                           "dtype",
                                                           "fast_math",
                                                           "clean_caption",
                                                           "resolution_binning",
                                                           "transformer_hash",
                                                           "text_encoder_hash",
                                                           "tokenizer_hash",
                                                           "formulas",
                                                           "variant",
                                                           "strength",
                                                           "init_image_hash",
                                                           "mask_hash",
                                                           "resize_mode",
                                                           "keep_unmasked"};
    // Written where they are true.
    static constexpr std::string_view all_flags = "fast_math clean_caption resolution_binning keep_unmasked";
    const json then = json::parse(record.parameters), here = json::parse(manifest(picture));
    const auto text = [](const json& all, std::string_view key) {
        if (!all.contains(key)) return std::string(all_flags.find(key) == all_flags.npos ? "none" : "false");
        return all[key].is_string() && key.ends_with("prompt") ? in_quotes(all[key].get<std::string>())
               : all[key].is_string()                          ? all[key].get<std::string>()
                                                               : all[key].dump();
    };
    std::string words;
    // A model's own part is not in its hash where another one is used: that alone is told.
    const bool same_parts =
        std::ranges::all_of(std::array{"vae_hash", "transformer_hash", "text_encoder_hash", "tokenizer_hash"},
                            [&](const char* key) { return then.value(key, json()) == here.value(key, json()); });
    for (const std::string_view key : told)
        if (then.value(key, json()) != here.value(key, json()) && (same_parts || key != "model_hash"))
            words += (words.empty() ? "was made with " : "; ") + std::string(key) + " " + text(then, key) + ", here " +
                     text(here, key);
    return words.empty() ? "was made from another request" : words;
}

}  // namespace t2i::batch
