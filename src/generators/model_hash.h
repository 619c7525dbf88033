// What a picture depends on besides its request: the files of a model, as short hashes.
#pragma once

#include <atomic>
#include <map>
#include <span>
#include <string>

#include "generators/model_folder.h"

namespace t2i {

// 10 hex digits each.
struct ModelHashes {
    std::string model{};    // of what is read from the model's folder
    std::string decoder{};  // of another decoder; empty: the model's own is used, and `model` covers it
    // Of the parts that were named in place of the model's, by component: `model` does not cover them.
    std::map<std::string, std::string> parts{};
};

// Of the files that are read for pictures, and of nothing beside them: scheduler, weights and their configs, tokenizer, through
// links; of model_index.json and t2i.json what changes a picture (pipeline class, longest prompt, names of classes), of which the
// folder's own name is no part. What lies in the folder that lends the rest of a model of parts is covered as if it lay in the
// model's own. another_decoder: a path, or empty; the model's own decoder is not read then and not covered.
// Throws Error{input} naming a file that is missing or cannot be read. From any thread. Any thread may set `abandoned`: whoever
// does wants no hash any more, and gets that of what has been read.
[[nodiscard]] ModelHashes hash_model(const ModelFolder& folder, const std::string& another_decoder = {},
                                     const std::atomic<bool>* abandoned = nullptr);
// Of a decoder that models of this kind take: ModelHashes::decoder. Throws as hash_model() does.
[[nodiscard]] std::string hash_decoder(const ModelFolder& folder, const std::string& another_decoder);

// Of the contents of files in this order: 10 hex digits of XXH3-64. Throws Error{input} naming one that cannot be read.
[[nodiscard]] std::string hash_files(std::span<const std::string> files);

// How 0.1.0 hashed a model or a decoder: every safetensors file below the folder, in order of path, and nothing else; linked
// folders were passed over. For its pictures and journals.
[[nodiscard]] std::string hash_weights_0_1(const std::string& folder);

}  // namespace t2i
