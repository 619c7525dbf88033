// A model put together from several places: a transformer's file or folder, a folder that lends the rest, parts named one by one.
#pragma once

#include <string>
#include <vector>

#include "generators/model_folder.h"

namespace t2i {

// Paths; empty ones are the model's own.
struct ModelParts {
    // A folder in diffusers layout; a folder that holds the transformer alone, itself or in transformer/; or a transformer's
    // file.
    std::string model;
    std::string base{};                                      // a folder in diffusers layout, for what the model lacks
    std::string transformer{}, text_encoder{}, tokenizer{};  // in place of the model's, folders or files
    std::string formulas{};  // "diffusers": facebook's DiT as diffusers computes it; empty: as facebook did, wherever it is given
};

// Throws as read_model_folder() does; Error{input} naming a file that is no transformer; and Error about the field of ModelParts:
// parts that do not go together, or are not there.
[[nodiscard]] ModelFolder read_model(const ModelParts& parts, const ModelFolderOptions& options = {});

// ModelFolder::notes, and the same of its parts that are files. decoder: another one's path, or empty. Throws as their loaders
// do.
[[nodiscard]] std::vector<std::string> notes_of(const ModelFolder& folder, const std::string& decoder = {});

}  // namespace t2i
