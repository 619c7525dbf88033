// The config of a published file, read off the names and shapes of its tensors.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "models/published.h"

namespace t2i {

// How many numbers stand at # in names like "transformer_blocks.#.", which begin with all before it.
[[nodiscard]] std::int64_t count_numbers(const CheckpointReader& reader, const std::string& beginning);

// What a family's function is given and what it fills in.
struct Derivation {
    const CheckpointReader& reader;  // under the names that models ask for
    const PartHints& hints;
    std::optional<Shape> positions;       // of the table of positions that models recompute: [1, tokens, width]
    std::optional<Shape> no_caption;      // of PixArt's text of no prompt: [tokens, width]
    nlohmann::ordered_json beside, base;  // the configs of the hints; objects, empty where there is none
    nlohmann::ordered_json config = nlohmann::ordered_json::object();
    std::vector<std::string> notes{};
    std::string title{}, pipeline{};
    bool is_diffusers = true;  // diffusers has a class that computes it

    // The tensor's shape, of so many dimensions. Throws Error{input} naming the tensor.
    [[nodiscard]] Shape shape(const std::string& name, int rank) const;
    [[nodiscard]] bool has(const std::string& name) const;
    // Takes a key from the config beside the file, else from the base's, with a note. False: neither has it.
    bool take(const std::string& key, bool from_base = true);
    void note(const std::string& key, const std::string& told_by);
    [[nodiscard]] Error error(const std::string& problem) const;
};

void derive_facebook_dit(Derivation& d);
void take_facebooks_formulas(nlohmann::ordered_json& config);
void derive_dit(Derivation& d);
void derive_pixart(Derivation& d);
void derive_autoencoder(Derivation& d);
void derive_tiny_autoencoder(Derivation& d);
void derive_t5(Derivation& d);

}  // namespace t2i
