#include "batch/request_id.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "core/number_text.h"

namespace t2i::batch {

std::uint64_t hash64(std::string_view text) {
    const std::uint64_t h = XXH3_64bits(text.data(), text.size());
    return h == 0 ? 1 : h;
}

std::string hash128_hex(std::string_view text) {
    const XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
    return hex_text(h.high64) + hex_text(h.low64);
}

std::string canonical_request(const ResolvedRequest& settings, const std::string& scheduler, std::string_view prompt,
                              std::string_view negative_prompt, const std::string& seed) {
    return nlohmann::ordered_json{{"prompt", prompt},
                                  {"negative_prompt", negative_prompt},
                                  {"seed", seed},
                                  {"steps", settings.plan.steps.size()},
                                  {"cfg_scale", settings.cfg_scale},
                                  {"width", settings.width},
                                  {"height", settings.height},
                                  {"sampler", settings.sampler},
                                  {"scheduler", scheduler}}
        .dump();
}

std::string id_of(std::string_view canonical) {
    return hash128_hex(canonical).substr(0, 16);
}

std::uint64_t seed_of(std::string_view picture_id) {
    return hash64(picture_id) & 0xFFFFFFFFU;
}

}  // namespace t2i::batch
