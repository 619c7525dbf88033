// Weights as their makers published them: single files under other names than diffusers' and without a config.json. What such a
// file is, its tensors under the names that our models ask for, and its config, from the names and shapes in it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/reader.h"
#include "models/config.h"

namespace t2i {

// Of a file's metadata: what config.json would say, where t2i convert has written the file.
constexpr const char* config_key = "t2i.config";

enum class PartKind : std::uint8_t { denoiser, text_encoder, autoencoder };

// What a file's names and shapes leave open, from whoever knows it. Nothing here changes what they do say.
struct PartHints {
    std::string file{};              // its name may say for what size a model was trained: "PixArt-XL-2-512x512.pth"
    std::string config_beside{};     // config.json in the file's own folder; empty or absent: there is none
    std::string config_of_base{};    // config.json of the same part of the model that lends the rest; empty: there is none
    bool as_diffusers = false;       // weights under facebook's names of DiT by diffusers' formulas, not by facebook's
    std::optional<bool> is_sigma{};  // PixArt: of the pipeline it is to run in
};

// A file that was recognised. Constant, so from any thread.
struct Published {
    PartKind kind = PartKind::denoiser;
    std::string title;                         // "facebook's DiT-XL/2, 256x256"
    std::int64_t values = 0;                   // in the tensors that belong to it
    std::string pipeline;                      // class of the pipeline that it is made for; empty: several
    bool is_facebooks = false;                 // see is_facebooks()
    std::string config;                        // JSON: as config.json would have it
    std::vector<std::string> notes;            // a line each: what of the config was told by what
    bool has_config = false;                   // beside it: it has all of the config that is not computed
    std::unique_ptr<CheckpointReader> reader;  // under the names that models ask for
};

// Takes the reader and says what its tensors are; leaves it alone and says nothing where they are no part of a model that t2i
// knows. Throws Error{input} naming the file: it is recognised and then lacks what a model must have, or leaves open what nobody
// tells.
[[nodiscard]] std::optional<Published> recognise(std::unique_ptr<CheckpointReader>& reader, const PartHints& hints);

// Whether they are a DiT under facebook's names: weights that are computed by facebook's formulas wherever they lie, unless
// PartHints say otherwise.
[[nodiscard]] bool is_facebooks(const CheckpointReader& reader);
// What config.json of such a DiT says, for facebook's formulas: JSON to JSON.
[[nodiscard]] std::string with_facebooks_formulas(const std::string& config);

// What a tensor of a text encoder, as models ask for it, is called in GGUF; empty: GGUF has none of that name.
[[nodiscard]] std::string gguf_name(const CheckpointReader& encoder, const std::string& name);

// The same tensors under the names that models ask for, where they are another maker's; for folders, whose config.json says the
// rest. A reader that is not recognised comes back as it is.
[[nodiscard]] std::unique_ptr<CheckpointReader> with_model_names(std::unique_ptr<CheckpointReader> reader);

}  // namespace t2i
