#include "batch/request_id.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "core/number_text.h"
#include "pipeline/start_picture.h"

namespace t2i::batch {

std::uint64_t hash64(std::string_view text) {
    const std::uint64_t h = XXH3_64bits(text.data(), text.size());
    return h == 0 ? 1 : h;
}

std::string hash128_hex(std::string_view text) {
    const XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
    return hex_text(h.high64) + hex_text(h.low64);
}

nlohmann::ordered_json settings_json(const ResolvedRequest& settings, const StartPicture* start) {
    nlohmann::ordered_json j = nlohmann::ordered_json::object();
    const auto add = [&](bool texts) {
        for (const SettingField& field : settings.plan->fields)
            if (std::holds_alternative<std::string>(field.value) == texts)
                std::visit([&](const auto& value) { j[field.key] = value; }, field.value);
    };
    add(false);
    j["width"] = settings.width;
    j["height"] = settings.height;
    add(true);
    if (settings.clean_caption) j["clean_caption"] = true;
    if (settings.resolution_binning) j["resolution_binning"] = true;
    if (!start) return j;
    j["init_image_hash"] = start->hash;
    if (!start->mask.empty()) j["mask_hash"] = start->mask_hash;
    if (!start->resize_mode.empty()) j["resize_mode"] = start->resize_mode;
    if (settings.keep_unmasked) j["keep_unmasked"] = true;
    return j;
}

std::string canonical_request(const ResolvedRequest& settings, const StartPicture* start, std::string_view prompt,
                              std::string_view negative_prompt, const std::string& seed) {
    nlohmann::ordered_json j{{"prompt", prompt}, {"negative_prompt", negative_prompt}, {"seed", seed}};
    j.update(settings_json(settings, start));
    return j.dump();
}

std::string id_of(std::string_view canonical) {
    return hash128_hex(canonical).substr(0, 16);
}

std::uint64_t seed_of(std::string_view picture_id) {
    return hash64(picture_id) & 0xFFFFFFFFU;
}

}  // namespace t2i::batch
