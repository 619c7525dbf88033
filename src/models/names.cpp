#include "models/names.h"

#include <algorithm>

namespace t2i {
namespace {

bool holds(const WeightStore& weights, const std::string& name) {
    return std::ranges::any_of(weights.reader().entries(), [&](const auto& e) { return e.name == name; });
}

}  // namespace

std::string t5_embedding_name(const Scope& root) {
    return root.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
}

void ignore_t5_duplicates(WeightStore& weights) {
    if (holds(weights, "shared.weight")) weights.ignore("encoder.embed_tokens.weight");
}

void rename_taesd(WeightStore& weights, const std::string& part) {
    const std::string prefix = part + ".layers.";
    const bool original =
        std::ranges::none_of(weights.reader().entries(), [&](const auto& e) { return e.name.starts_with(prefix); });
    if (!original) return;
    const int offset = part == "decoder" ? 1 : 0;  // its Sequential starts with the clamp
    weights.rename([prefix, offset](const std::string& canonical) {
        if (!canonical.starts_with(prefix)) return canonical;
        std::size_t digits = 0;
        const int index = std::stoi(canonical.substr(prefix.size()), &digits);
        return std::to_string(index + offset) + canonical.substr(prefix.size() + digits);
    });
}

void ignore_prefix(WeightStore& weights, const std::string& prefix) {
    for (const auto& entry : weights.reader().entries())
        if (entry.name.starts_with(prefix)) weights.ignore(entry.name);
}

}  // namespace t2i
