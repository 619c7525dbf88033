// Names of requests that follow from what they ask for.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "pipeline/request.h"

namespace t2i::batch {

// XXH3-64; never 0. What splits work between shards, chooses sub-folders and keys tables.
[[nodiscard]] std::uint64_t hash64(std::string_view text);
// XXH3-128 as 32 hex digits.
[[nodiscard]] std::string hash128_hex(std::string_view text);

// The settings of a request in a fixed order: the generator's numbers, the size, the generator's texts, empty ones too, what is
// on of clean_caption and resolution_binning, and what it begins with, by the hashes of its pixels. start: null for noise alone.
[[nodiscard]] nlohmann::ordered_json settings_json(const ResolvedRequest& settings, const StartPicture* start);

// JSON of everything in a request that changes its picture, in a fixed order. seed: a number, or "picked" where it follows from
// the id.
[[nodiscard]] std::string canonical_request(const ResolvedRequest& settings, const StartPicture* start, std::string_view prompt,
                                            std::string_view negative_prompt, const std::string& seed);

// 16 hex digits of the canonical request.
[[nodiscard]] std::string id_of(std::string_view canonical);

// A seed below 0: the one that this picture gets every time. Below 2^32, as other programs take them.
[[nodiscard]] std::uint64_t seed_of(std::string_view picture_id);

}  // namespace t2i::batch
